"""Programs mapped by columns, natively: the interpreter's logits, the same bits in any company."""

from __future__ import annotations

import numpy as np
import pytest

from tests.passes.decoder import Decoder, DecoderBuilder
from tests.passes.structures import STRUCTURES, Structured
from tests.runtime.native import Native, check_native
from tests.runtime.test_structures import CHUNKS, shape_of

SHAPES = (
    (Decoder(layers=2, heads=6, kv_heads=3, head=32, ffn=128, format="q4_0"), 2),
    (Decoder("gemma3", layers=2, kv_heads=4, head=32, format="f32", windows=(3, 0)), 3),
    (Decoder(layers=2, kv_heads=4, head=32, ffn=160, formats={"down": "q8_0"}), 4),
)


@pytest.mark.parametrize(("shape", "workers"), SHAPES, ids=str)
def test_columns(shape: Decoder, workers: int) -> None:
    module = DecoderBuilder(shape).module()
    native = check_native(module, workers, CHUNKS, mapping="columns")
    tokens = sum(CHUNKS[0])
    whole = native.logits([tokens])
    assert np.array_equal(whole, native.logits([1] * tokens))
    assert np.array_equal(whole, native.logits([3, tokens - 3]))


def test_blocks_of_256_columns() -> None:
    """By columns as by rows: sums of another order round few inputs the other way, if any."""
    shape = Decoder("qwen3", layers=1, heads=4, hidden=512, ffn=1024, head=128, format="q4_k")
    module = DecoderBuilder(shape).module()
    columns, rows = (Native(module, 2, mapping=each).logits([5, 1]) for each in ("columns", "rows"))
    assert np.abs(columns - rows).max() <= 4e-3 * np.abs(rows).max()


@pytest.mark.slow
@pytest.mark.parametrize("builder", STRUCTURES)
@pytest.mark.parametrize("workers", [2, 3])
def test_structures(builder: type[Structured], workers: int) -> None:
    check_native(builder(shape_of(builder, 3)).module(), workers, CHUNKS, mapping="columns")
