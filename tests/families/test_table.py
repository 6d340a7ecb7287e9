"""The README lists the families that the matrix tests, and no others."""

from __future__ import annotations

from tests.families.table import README, with_table


def test_the_readme_is_up_to_date() -> None:
    text = README.read_text("utf-8")
    assert text == with_table(text), "run python -m tests.families.table"
