"""Key-values of GGUF files that are read in more than one form, and those that do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headrace.errors import MalformedFileError
from headrace.frontend.metadata import Metadata


def metadata(value: Any) -> Metadata:
    return Metadata("x", {"x.key": value}, "file.gguf")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([True, False, True], [True, False, True]),
        (np.array([True, False, True]), [True, False, True]),
        ([1, 0, 1], [True, False, True]),
        (2, [True, False, True]),
        (3, [True, True, False]),
        (1, [False, False, False]),
    ],
)
def test_a_pattern_is_a_list_or_a_period(value: Any, expected: list[bool]) -> None:
    assert metadata(value).pattern("key", 6, 3) == expected


def test_a_pattern_has_a_default() -> None:
    assert metadata(0).pattern("other", 2, 3) == [True, False, True]


@pytest.mark.parametrize("value", [[True], ["a", "b", "c"], 0, -1, "two", True, 1.5])
def test_what_is_no_pattern_is_an_error(value: Any) -> None:
    with pytest.raises(MalformedFileError, match=r"x\.key") as caught:
        metadata(value).pattern("key", 6, 3)
    assert caught.value.where == "file.gguf"


def test_flags_and_numbers_that_may_be_missing() -> None:
    assert metadata(False).flag("key", True) is False
    assert metadata(1).flag("other", True) is True
    assert metadata(0.5).optional("key") == 0.5
    assert metadata(0.5).optional("other") is None
    with pytest.raises(MalformedFileError, match="true or false"):
        metadata(1).flag("key", True)
