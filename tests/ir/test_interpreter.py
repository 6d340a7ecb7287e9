"""The interpreter against PyTorch's formulas, straight and looped programs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.errors import ContextLengthError, ProgramError, RequestError
from headrace.ir.interpreter import Interpreter
from tests.ir.decoders import Decoder, decoders, program_of, reference_logits


def interpreter(decoder: Decoder, looped: bool = False) -> Interpreter:
    return Interpreter(program_of(decoder, looped), decoder.weights().__getitem__)


@settings(deadline=None, max_examples=40)
@given(decoders(), st.data())
def test_logits_are_those_of_pytorch(decoder: Decoder, data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, decoder.vocabulary - 1), min_size=1, max_size=12))
    looped = data.draw(st.booleans())
    count = len(ids)
    logits, following = interpreter(decoder, looped).step(
        ids, range(count), [0] * count, range(count)
    )
    np.testing.assert_allclose(logits, reference_logits(decoder, ids), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(following, logits.argmax(-1))


@settings(deadline=None, max_examples=20)
@given(decoders(), st.data())
def test_steps_of_any_size_give_the_same_logits(decoder: Decoder, data: st.DataObject) -> None:
    """Two sequences, interleaved and cut into steps anywhere, give each sequence's own logits."""
    vocabulary = st.integers(0, decoder.vocabulary - 1)
    texts = [data.draw(st.lists(vocabulary, min_size=1, max_size=8)) for _ in range(2)]
    entries = [(s, p, token) for s, text in enumerate(texts) for p, token in enumerate(text)]
    order = sorted(entries, key=lambda entry: (entry[1], entry[0]))
    machine = interpreter(decoder, data.draw(st.booleans()))
    rows: dict[int, list[np.ndarray]] = {0: [], 1: []}
    while order:
        size = data.draw(st.integers(1, len(order)))
        taken, order = order[:size], order[size:]
        sequences, positions, tokens = zip(*taken, strict=True)
        logits, _ = machine.step(tokens, positions, sequences, range(size))
        for sequence, row in zip(sequences, logits, strict=True):
            rows[sequence].append(row)
    for sequence, text in enumerate(texts):
        expected = reference_logits(decoder, text)
        np.testing.assert_allclose(rows[sequence], expected, rtol=1e-4, atol=1e-4)


def test_only_wanted_rows_come_back() -> None:
    decoder = Decoder()
    ids = [3, 1, 4, 1, 5]
    logits, following = interpreter(decoder).step(ids, range(5), [0] * 5, [4, 1])
    np.testing.assert_allclose(logits, reference_logits(decoder, ids)[[4, 1]], atol=1e-4)
    assert logits.shape == (2, 100)
    assert following.shape == (2,)


def test_a_position_can_be_taken_again() -> None:
    """Rejected drafts: later entries stay in the cache and are not seen."""
    decoder = Decoder()
    machine = interpreter(decoder)
    machine.step([3, 1, 4, 1], range(4), [0] * 4, [3])
    logits, _ = machine.step([9, 2], [1, 2], [0, 0], [0, 1])
    np.testing.assert_allclose(logits, reference_logits(decoder, [3, 9, 2])[1:], atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "error", "where"),
    [
        (([1, 2], [0], [0, 0], [0]), RequestError, "positions"),
        (([], [], [], []), RequestError, "tokens"),
        (([100], [0], [0], [0]), RequestError, "tokens"),
        (([-1], [0], [0], [0]), RequestError, "tokens"),
        (([1], [-1], [0], [0]), RequestError, "positions"),
        (([1], [64], [0], [0]), ContextLengthError, "positions"),
        (([1, 2], [3, 3], [0, 0], [0]), RequestError, "positions"),
        (([1], [0], [0], [1]), RequestError, "outputs"),
    ],
)
def test_what_a_step_cannot_take(
    arguments: tuple[list[int], ...], error: type[Exception], where: str
) -> None:
    with pytest.raises(error) as caught:
        interpreter(Decoder()).step(*arguments)
    assert caught.value.where == where


def test_a_weight_of_another_shape_is_an_error() -> None:
    decoder = Decoder()
    weights = decoder.weights() | {"norm": np.ones(63, np.float32)}
    with pytest.raises(ProgramError, match=r"'norm' has shape \[63\]"):
        Interpreter(program_of(decoder), weights.__getitem__).step([1], [0], [0], [0])
