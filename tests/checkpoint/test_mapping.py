"""What reading takes of this process's memory, and how it is given back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headrace.checkpoint.mapping import map_file, release_pages

MEBIBYTE = 1 << 20
SIZE = 24 * MEBIBYTE
STATUS = Path("/proc/self/status")


def mapped_bytes() -> int:
    """Pages of files in this process's memory (`RssFile`)."""
    [line] = [line for line in STATUS.read_text().splitlines() if line.startswith("RssFile")]
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(not STATUS.exists(), reason="the system does not say what is resident")
def test_pages_come_when_read_and_go_when_released(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    content = np.random.default_rng(0).integers(0, 256, SIZE, np.uint8)
    content.tofile(path)
    start = mapped_bytes()
    data = map_file(path)
    view = np.frombuffer(data, np.uint8)
    # Opening reads nothing; the limits leave room for pages that the interpreter loads meanwhile.
    assert mapped_bytes() - start < SIZE // 4
    total = int(view.sum())
    assert mapped_bytes() - start > SIZE * 3 // 4
    release_pages(data)
    assert mapped_bytes() - start < SIZE // 4
    assert int(view.sum()) == total, "views stay valid"
