"""The documents list the families that are tested, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.families.table import documents, with_tables


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_the_tables_are_up_to_date(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text == with_tables(text, documents()[path]), "run python -m tests.families.table"
