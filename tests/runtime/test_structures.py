"""Decoders of every structure, natively: the interpreter's logits."""

from __future__ import annotations

import pytest
from xdsl.ir import SSAValue

from tests.passes.decoder import Decoder
from tests.passes.structures import (
    STRUCTURES,
    Parallel,
    Structured,
    Unrotated,
    Whole,
    WholeQueries,
)
from tests.runtime.native import check_native

TOKENS = 20
CHUNKS = ([7, 1, 12], [1] * TOKENS)


def shape_of(builder: type[Structured], layers: int, format: str = "f32") -> Decoder:
    kv_heads = 1 if builder.__name__ == "Bare" else 2
    windows = (3, 0) if builder.sinks else (0,)
    return Decoder(layers=layers, kv_heads=kv_heads, windows=windows, format=format)


#: Those whose parts others have too are compiled in slow tests only.
KNOWN = (Structured, WholeQueries, Unrotated)


@pytest.mark.parametrize("builder", [each for each in STRUCTURES if each not in KNOWN])
def test_structures(builder: type[Structured]) -> None:
    check_native(builder(shape_of(builder, 2)).module(), 2, CHUNKS)


@pytest.mark.slow
@pytest.mark.parametrize("builder", STRUCTURES)
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_structures_on_some_workers(builder: type[Structured], workers: int) -> None:
    check_native(builder(shape_of(builder, 3)).module(), workers, CHUNKS)


class Turning(Whole):
    """Layers of two kinds, which leave the residual stream in other storage: two loops."""

    first, second = Whole, Structured

    def layer(self, x: SSAValue, layer: int) -> SSAValue:
        return (self.first if layer < 2 else self.second).layer(self, x, layer)


class TurningBack(Turning):
    first, second = Structured, Whole


@pytest.mark.parametrize("builder", [Turning, TurningBack])
def test_a_loop_takes_what_another_left(builder: type[Structured]) -> None:
    check_native(builder(shape_of(builder, 4)).module(), 2, CHUNKS)


@pytest.mark.parametrize("builder", [Parallel, Whole])
def test_structures_of_a_quantised_format(builder: type[Structured]) -> None:
    check_native(builder(shape_of(builder, 2, "q4_1")).module(), 2, CHUNKS[:1])


@pytest.mark.slow
@pytest.mark.parametrize("builder", STRUCTURES)
@pytest.mark.parametrize("format", ["q4_1", "bf16"])
def test_structures_of_stored_formats(builder: type[Structured], format: str) -> None:
    check_native(builder(shape_of(builder, 2, format)).module(), 2, CHUNKS[:1])
