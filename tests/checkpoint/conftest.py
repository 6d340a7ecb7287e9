from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a cache of its own."""
    root = tmp_path / "cache"
    monkeypatch.setenv("HEADRACE_CACHE", str(root))
    return root
