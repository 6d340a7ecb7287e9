"""Programs mapped by columns, natively: the interpreter's logits, the same bits in any company."""

from __future__ import annotations

import numpy as np
import pytest

from tests.passes.decoder import Decoder, DecoderBuilder
from tests.passes.structures import STRUCTURES, Structured
from tests.runtime.native import check_native
from tests.runtime.test_structures import CHUNKS, shape_of

SHAPES = (
    (Decoder(layers=2, heads=6, kv_heads=3, head=32, ffn=128, format="q4_0"), 2),
    (Decoder("gemma3", layers=2, kv_heads=4, head=32, format="f32", windows=(3, 0)), 3),
    (Decoder(layers=2, kv_heads=4, head=32, ffn=160, formats={"down": "q8_0"}), 4),
    (Decoder("qwen3", layers=2, heads=4, hidden=512, ffn=1024, head=128, format="q4_k"), 2),
)


@pytest.mark.parametrize(("shape", "workers"), SHAPES, ids=str)
def test_columns(shape: Decoder, workers: int) -> None:
    module = DecoderBuilder(shape).module()
    native = check_native(module, workers, CHUNKS, mapping="columns")
    tokens = sum(CHUNKS[0])
    whole = native.logits([tokens])
    assert np.array_equal(whole, native.logits([1] * tokens))
    assert np.array_equal(whole, native.logits([3, tokens - 3]))


@pytest.mark.slow
@pytest.mark.parametrize("builder", STRUCTURES)
@pytest.mark.parametrize("workers", [2, 3])
def test_structures(builder: type[Structured], workers: int) -> None:
    check_native(builder(shape_of(builder, 3)).module(), workers, CHUNKS, mapping="columns")
