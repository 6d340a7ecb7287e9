from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.prompt import check_tokens
from headrace.engine.request import Request
from headrace.errors import ContextLengthError, RequestError

NOT_FINITE = [math.nan, math.inf, -math.inf]

WRONG = [
    *[("max_tokens", value) for value in (0, -1, 1.5, True, None)],
    *[("temperature", value) for value in (-0.1, True, "hot", None, *NOT_FINITE)],
    *[("top_p", value) for value in (0, -0.5, 1.01, False, *NOT_FINITE)],
    *[("top_k", value) for value in (-1, 2.0, True)],
    *[("min_p", value) for value in (-0.01, 1.1, True, *NOT_FINITE)],
    *[("seed", value) for value in (2**63, -(2**63) - 1, 1.0, True)],
]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_value_out_of_range_is_named(field: str, value: object) -> None:
    with pytest.raises(RequestError) as caught:
        Request(**{field: value})  # pyright: ignore[reportArgumentType]
    assert caught.value.where == field
    assert field in caught.value.what
    assert repr(value) in caught.value.what


@given(
    max_tokens=st.integers(1, 10**9),
    temperature=st.floats(0, 1e30),
    top_k=st.integers(0, 10**9),
    top_p=st.floats(0, 1, exclude_min=True),
    min_p=st.floats(0, 1),
    seed=st.integers(-(2**63), 2**63 - 1),
)
def test_values_in_range_reach_the_native_program(
    max_tokens: int, temperature: float, top_k: int, top_p: float, min_p: float, seed: int
) -> None:
    sampling = Request(max_tokens, temperature, top_k, top_p, min_p, seed).sampling(1000)
    assert sampling.top_k == min(top_k, 1000)
    assert sampling.seed == seed
    assert (sampling.temperature, sampling.top_p, sampling.min_p) == (temperature, top_p, min_p)


def test_numpy_scalars_are_numbers() -> None:
    request = Request(np.int64(3), np.float32(0.5), seed=np.int32(7))  # pyright: ignore
    assert request.sampling(10).temperature == 0.5


def test_no_seed_is_a_random_seed() -> None:
    assert Request().sampling(10).seed != Request().sampling(10).seed


def test_tokens_become_an_array() -> None:
    tokens = check_tokens([0, 9, np.int64(4)], 10, 3)  # pyright: ignore
    assert tokens.dtype == np.int32
    assert tokens.tolist() == [0, 9, 4]


@pytest.mark.parametrize("bad", [-1, 10, 2**40, 1.0, True, "a", None])
def test_a_wrong_token_is_named_by_its_place(bad: object) -> None:
    with pytest.raises(RequestError, match="0 to 9") as caught:
        check_tokens([1, 2, bad], 10, 8)  # pyright: ignore[reportArgumentType]
    assert caught.value.where == "prompt[2]"


def test_no_tokens() -> None:
    with pytest.raises(RequestError, match="no tokens"):
        check_tokens([], 10, 8)


def test_both_counts_are_told_when_a_prompt_is_too_long() -> None:
    with pytest.raises(ContextLengthError, match=r"9 tokens.*holds 8"):
        check_tokens([0] * 9, 10, 8)
