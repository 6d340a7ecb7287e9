"""Licences as model cards and licence files name them."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.checkpoint.licence import read_licence


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("---\nlicense: apache-2.0\n---\n# Model", "apache-2.0"),
        ("---\ntags:\n- a\nlicense: 'mit'\n---", "mit"),
        ("---\nlicense:\n- mit\n- gpl\n---", "mit"),
        ("---\nlicense: other\nlicense_name: gemma\n---", "gemma"),
        ("---\nlicense: other\n---", "other"),
        ("---\nlicense:\n---", None),
        ("# Model\nlicense: mit", None),
        ("---\nlicense: mit", None),
        ("", None),
    ],
)
def test_model_cards(tmp_path: Path, card: str, expected: str | None) -> None:
    (tmp_path / "README.md").write_text(card)
    assert read_licence(tmp_path) == expected


def test_licence_files(tmp_path: Path) -> None:
    assert read_licence(tmp_path) is None
    (tmp_path / "LICENSE").write_bytes(b"\n\n  Apache \x1bLicense\xff\nVersion 2.0\n")
    assert read_licence(tmp_path) == "Apache License�"
    (tmp_path / "LICENSE").write_text("x" * 1000)
    assert len(read_licence(tmp_path) or "") == 100
