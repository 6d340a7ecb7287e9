"""Native programs give the interpreter's logits, whatever the workers, chunks and old memory."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.runtime.schedule import Schedule
from tests.runtime.driving import ids, indices, logits, poison, run
from tests.runtime.programs import Built, Case, Floats, built

TOKENS = 30

EXACT = (
    Case("tiny-llama@f32", 1),
    Case("tiny-llama@f32", 2),
    Case("tiny-llama@f32", 3),
    Case("tiny-gemma3@f32", 2),
    Case("qwen2", 3),
)
ROUNDED = (
    Case("tiny-llama@q4_0", 2),
    Case("tiny-llama@q4_1", 3),
    Case("tiny-qwen3@q8_0", 2),
    Case("tiny-llama3@f16", 1),
    Case("tiny-gemma3@bf16", 2),
    Case("qwen2", 2, weights="bf16"),
    Case("tiny-llama3@f16", 2, kv="bf16"),
    Case("tiny-qwen3@f16", 2, kv="q8"),
    Case("qwen3", 2, weights="q4"),
    Case("qwen2", 2, weights="q8"),
)

#: Layers that differ, keys beside values of another form, zipped products of several formats.
MIXED = (
    Case("llama", 2, stored=(("blk.0.ffn_down", "q8_0"), ("", "q4_0"))),
    Case("gemma3", 3, stored=(("blk.3.ffn", "q8_0"), ("blk.4.attn_o", "bf16"), ("", "q4_1"))),
    Case("llama", 2, stored=(("attn_v", "f16"), ("", "q4_0"))),
    Case("qwen3", 3, stored=(("attn_q.", "f16"), ("attn_v", "q8_0"), ("", "q4_0"))),
    Case("llama", 3, stored=(("ffn_up", "q8_0"), ("", "q4_0"))),
    Case("llama", 2, stored=(("ffn_gate", "f16"), ("", "q8_0"))),
    Case("llama", 2, "f32", stored=(("blk.0.ffn_down", "q8_0"), ("", "q4_0"))),
)


def reference(case: Built, rounded: bool) -> Floats:
    tokens = ids(TOKENS, case.manifest.vocabulary)
    steps = range(TOKENS)
    return case.interpreter(rounded).step(tokens, steps, [0] * TOKENS, steps)[0]


def native(case: Built, chunks: list[int], *, dirty: bool = False) -> Floats:
    with case.open(context=64) as program:
        if dirty:
            poison(program)
        return logits(program, ids(TOKENS, case.manifest.vocabulary), chunks)


def close(found: Floats, expected: Floats, tolerance: float) -> bool:
    return bool(np.abs(found - expected).max() <= tolerance * np.abs(expected).max())


@pytest.mark.parametrize("case", EXACT, ids=str)
def test_float32_logits_are_the_interpreters(case: Case) -> None:
    assert close(native(built(case), [TOKENS]), reference(built(case), rounded=False), 1e-4)


@pytest.mark.parametrize("case", [*ROUNDED, *MIXED], ids=str)
def test_logits_of_stored_formats_are_the_interpreters(case: Case) -> None:
    # Another order of a sum may round one of 64 inputs of a product the other way: by 1/127 of the
    # largest, which moves a result of their size by 1/127/8 = 1e-3, and later roundings with it.
    # That befalls a token here and there: most agree to what 16 bits of keys and values leave.
    found, expected = native(built(case), [TOKENS]), reference(built(case), rounded=True)
    assert close(found, expected, 2e-2)
    apart = np.abs(found - expected).max(axis=1) > 2e-4 * np.abs(expected).max()
    assert apart.sum() <= TOKENS // 10


def test_the_number_of_workers_makes_no_difference() -> None:
    one, *more = (native(built(case), [TOKENS]) for case in EXACT[:3])
    assert all(close(other, one, 1e-5) for other in more)


@pytest.mark.parametrize("case", [EXACT[0], EXACT[2], *EXACT[3:]], ids=str)
def test_chunks_and_single_tokens_make_no_difference(case: Case) -> None:
    whole = native(built(case), [TOKENS])
    assert close(native(built(case), [13, 1, 16]), whole, 1e-5)
    assert close(native(built(case), [1] * TOKENS), whole, 1e-5)


@pytest.mark.parametrize("case", [EXACT[2], EXACT[3], *ROUNDED[:3]], ids=str)
@pytest.mark.parametrize("chunks", [[TOKENS], [5, *[1] * 25]], ids=["prompt", "decode"])
def test_what_memory_held_before_makes_no_difference(case: Case, chunks: list[int]) -> None:
    clean = native(built(case), chunks)
    assert np.array_equal(native(built(case), chunks, dirty=True), clean)


def test_blocks_may_lie_anywhere_in_the_cache() -> None:
    case = built(EXACT[1])
    tokens = ids(200, case.manifest.vocabulary)
    found: list[Floats] = []
    for order in ([0, 1, 2, 3], [2, 0, 3, 1]):
        with case.open(context=256) as program:
            poison(program)
            program.storage.block_table[:] = order
            parts = [logits(program, tokens[:30], [30])]
            for start in range(30, 200, 17):
                part = tokens[start : start + 17]
                schedule = Schedule.of(part, start, indices(range(len(part))))
                run(program, schedule)
                parts.append(program.logits().copy())
        found.append(np.concatenate(parts))
    assert np.array_equal(*found)


def test_only_the_wanted_rows_are_given() -> None:
    case = built(EXACT[1])
    tokens = ids(12, case.manifest.vocabulary)
    with case.open(context=64) as program:
        whole = logits(program, tokens, [12])
        run(program, Schedule.of(tokens, 0, indices([11, 3])))
        assert np.array_equal(program.logits(), whole[[11, 3]])
        run(program, Schedule.of(tokens, 0, indices([])))
        assert program.logits().shape == (0, case.manifest.vocabulary)
