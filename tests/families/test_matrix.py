"""Every family in every weight format: native logits against transformers', as a user loads it."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.families.catalogue import FAMILIES, Family
from tests.families.matrix import Loaded, Logits, loaded, native_logits, reference_logits

FORMATS = ("f32", "bf16", "q8", "q4")
#: Of these every format runs by default. The other cells but f32 are slow: compiling one takes a
#: second or two, and its structure was compared in f32, its code in these families.
WHOLE = {"llama2", "gemma2", "gpt2", "cohere", "mpt"}


def cells() -> list[Any]:
    return [_cell(family, weights) for family in FAMILIES for weights in FORMATS]


def _cell(family: Family, weights: str) -> Any:
    is_slow = weights != "f32" and family.name not in WHOLE
    marks = [pytest.mark.slow] if is_slow else []
    return pytest.param(family, weights, id=f"{family.name}-{weights}", marks=marks)


@pytest.fixture(scope="module")
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Loaded]:
    family: Family = request.param
    place: Path = tmp_path_factory.mktemp("families")
    with loaded(family, place) as found:
        yield found


@pytest.mark.parametrize(("model", "weights"), cells(), indirect=["model"], scope="module")
def test_logits_are_those_of_transformers(model: Loaded, weights: str) -> None:
    """The reference has the matrices' values as they are in their format.

    f32: the same arithmetic in another order.

    bf16: weights are exact, and so are activations, but keys and values are kept in f16. Each is
    off by up to 2^-11 of itself, and so is a score q.k of a size of up to ten: ten times 2^-11 of
    each weight of the softmax. No logit may be off by more than that share of the largest.

    q8, q4: weights are exact; the input of each product is rounded to 8 bits with a scale for 32
    columns. The largest of 32 is 2 to 5 times their root mean square; steps of 1/127 of it have an
    error of 1/sqrt(12) of a step: 0.5 to 1.1 % of the input, and as much of the product. The
    products one behind the other, four a layer and the head, add up independently; that norms
    and caps bend errors as they bend values leaves us 1.5 % for each.
    """
    found, expected = native_logits(model, weights), reference_logits(model, weights)
    if weights == "f32":
        assert largest(found - expected) <= 1e-4 * largest(expected)
    elif weights == "bf16":
        assert largest(found - expected) <= 10 * 2.0**-11 * largest(expected)
    else:
        products = 4 * model.family.layers + 1
        assert size(found - expected) <= 0.015 * products**0.5 * size(expected)


def largest(values: Logits) -> float:
    return float(np.abs(values).max())


def size(values: Logits) -> float:
    """The root mean square."""
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
