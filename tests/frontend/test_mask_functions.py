"""What transformers' mask functions mean, read from how they are composed."""

from __future__ import annotations

import torch
from transformers.masking_utils import (
    and_masks,
    bidirectional_mask_function,
    causal_mask_function,
    chunked_causal_mask_function,
    packed_sequence_compatibility_function,
    sliding_window_causal_mask_function,
)

from headrace.frontend.hooks import MASK
from headrace.frontend.mask_functions import Pattern, read_pattern

POSITIONS = torch.arange(6)[None]


def test_causal() -> None:
    assert read_pattern(causal_mask_function) == Pattern(True, 0, ())


def test_sliding_windows() -> None:
    window = sliding_window_causal_mask_function(5)
    assert read_pattern(window) == Pattern(True, 5, ())
    both = and_masks(window, sliding_window_causal_mask_function(3))
    assert read_pattern(both) == Pattern(True, 3, ())


def test_packed_sequences_are_one_sequence() -> None:
    packed = packed_sequence_compatibility_function(
        sliding_window_causal_mask_function(5), POSITIONS, torch.zeros_like(POSITIONS)
    )
    assert read_pattern(packed) == Pattern(True, 5, ())


def test_what_is_not_known_is_named() -> None:
    chunks = chunked_causal_mask_function(4, torch.zeros(1, dtype=torch.int))
    assert read_pattern(chunks) == Pattern(True, 0, ("chunked_overlay",))
    assert read_pattern(bidirectional_mask_function).others == ("bidirectional_mask_function",)
    assert not read_pattern(bidirectional_mask_function).is_causal
    assert read_pattern(lambda *_: True).others != ()


def test_the_mask_itself() -> None:
    mask = MASK(4, 4, 2, None, [], torch.device("cpu"))
    expected = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    assert mask.int().tolist() == [[expected]]
    padded = MASK(2, 2, 0, torch.tensor([[0, 1]]), [], torch.device("cpu"))
    assert padded.int().tolist() == [[[[0, 0], [0, 1]]]]
