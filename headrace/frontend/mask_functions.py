"""What transformers' mask functions allow, read from how they were put together.

A model asks transformers for a mask by a function of indices that is composed of a few known ones.
Reading the composition says what a mask means at every length, which no mask of one length does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

MaskFunction = Callable[..., Any]

#: Functions by their qualified names. Intersections hold their parts; packed sequences number the
#: tokens of each sequence by themselves, and we export one sequence.
_INTERSECTION = "and_masks.<locals>.and_mask"
_PACKED = "packed_sequence_mask_function.<locals>.inner_mask"
_RENUMBERED = "remap_positions_for_packed_sequence.<locals>.inner_mask"
_CAUSAL = "causal_mask_function"
_WINDOW = "sliding_window_overlay.<locals>.inner_mask"


@dataclass(frozen=True, slots=True)
class Pattern:
    """Which entries a token may attend to.

    Attributes:
        is_causal: none after its own position.
        window: the last `window` entries alone; 0 without a limit.
        others: names of functions that restrict or extend this in ways not known here.
    """

    is_causal: bool
    window: int
    others: tuple[str, ...]


def read_pattern(function: MaskFunction) -> Pattern:
    """What a mask function of transformers allows."""
    leaves = list(_leaves(function))
    names = [name for name, _ in leaves]
    windows = [int(held["sliding_window"]) for name, held in leaves if name == _WINDOW]
    known = (_CAUSAL, _WINDOW, _PACKED)
    others = tuple(name.split(".")[0] for name in names if name not in known)
    return Pattern(_CAUSAL in names, min(windows, default=0), others)


def _leaves(function: MaskFunction) -> Iterable[tuple[str, dict[str, Any]]]:
    """The functions that a mask function is the intersection of, with what they hold."""
    name = getattr(function, "__qualname__", type(function).__name__)
    held = dict(inspect.getclosurevars(function).nonlocals) if inspect.isfunction(function) else {}
    if name == _INTERSECTION:
        for part in held["mask_functions"]:
            yield from _leaves(part)
    elif name == _RENUMBERED:
        yield from _leaves(held["mask_function"])
    else:
        yield name, held
