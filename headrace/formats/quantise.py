"""Conversion of weights to another storage format, with scales that keep the error least.

For 4 and 8 bits (q4_0 and q8_0: symmetric groups of 32) the reference rounding derives the scale
from the largest magnitude alone. Here several scales around that one are tried, as ggml's
`make_qx_quants` does: codes for a trial scale, then the scale that fits these codes best by least
squares; what counts is the sum of squared errors with the scale rounded to f16, and the reference
scale is one of the candidates, so the result is never worse.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from headrace.errors import UnsupportedModelError
from headrace.formats.floats import Bytes
from headrace.formats.storage import StorageFormat

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float32]]

GROUP = 32
#: Values converted at a time, so that all trials find them in the processor's cache.
_CHUNK_VALUES = 1 << 15
_TINY = np.float32(1e-30)
_LARGEST_SCALE = np.float32(np.finfo(np.float16).max)


@dataclass(frozen=True, slots=True)
class Search:
    """The codes of a format, and which trial scales are worth it.

    Attributes:
        low, high: the least and the largest code.
        reference: the code of the value of largest magnitude under the reference scale.
        trials: that value's code under each trial scale; not whole, and beyond the last code where
            clipping one value serves the others.
    """

    low: float
    high: float
    reference: float
    trials: tuple[float, ...]


Q4 = Search(-8, 7, -8, tuple(-7 - step / 4 for step in range(9)))
Q8 = Search(-127, 127, 127, tuple(127.0 - step for step in range(9)))


def convert(values: Floats, format: StorageFormat) -> Bytes:
    """Values in another format, [rows, cols] → [rows, row_bytes].

    Raises:
        UnsupportedModelError: a value is not finite, and the format shares scales.
        UnsupportedFormatError: the format cannot be written.
    """
    encode = _ENCODERS.get(format.name)
    if encode is None:
        return format.quantise(values)
    rows, cols = values.shape
    made = np.empty((rows, format.row_bytes(cols)), np.uint8)
    step = max(1, _CHUNK_VALUES // max(cols, 1))
    for first in range(0, rows, step):
        some = values[first : first + step]
        whole = np.zeros((len(some), -(-cols // GROUP) * GROUP), np.float32)
        whole[:, :cols] = some
        made[first : first + step] = encode(whole.reshape(-1, GROUP)).reshape(len(some), -1)
    return made


def _encode_q4(groups: Floats) -> Bytes:
    scale, codes = least_error(groups, Q4)
    unsigned = (codes + np.float32(8)).astype(np.uint8)
    nibbles = unsigned[:, : GROUP // 2] | (unsigned[:, GROUP // 2 :] << np.uint8(4))
    return np.concatenate([scale, nibbles], axis=1)


def _encode_q8(groups: Floats) -> Bytes:
    scale, codes = least_error(groups, Q8)
    return np.concatenate([scale, codes.astype(np.int8).view(np.uint8)], axis=1)


_ENCODERS: dict[str, Callable[[Floats], Bytes]] = {"q4_0": _encode_q4, "q8_0": _encode_q8}


def least_error(groups: Floats, search: Search) -> tuple[Bytes, Floats]:
    """Scales (the two bytes of an f16) and codes (whole numbers) of groups, [n, 32]."""
    index = np.abs(groups).argmax(axis=1, keepdims=True)
    largest = np.take_along_axis(groups, index, axis=1)
    if not np.isfinite(largest).all():
        raise UnsupportedModelError(
            "a weight is not finite, and cannot share a scale with others",
            hint="load with weights=auto, f32 or bf16",
        )
    fitted = _rounded(_fitted(groups, largest, search))
    reference = _rounded(largest / np.float32(search.reference))
    codes, error = _nearest(groups, fitted, search)
    other, other_error = _nearest(groups, reference, search)
    worse = other_error < error
    codes[worse] = other[worse]
    scale = np.where(worse[:, None], reference, fitted)
    return scale.astype("<f2").view(np.uint8), codes


def _fitted(groups: Floats, largest: Floats, search: Search) -> Floats:
    """The best scale of all trials, [n, 1], before it is rounded to f16.

    With the codes fixed, Σ(x - s·q)² is least for s = Σxq / Σq², and then Σx² - (Σxq)² / Σq².
    """
    best = np.zeros(len(groups), np.float32)
    scales = np.zeros(len(groups), np.float32)
    unit, codes = _reciprocal(largest), np.empty_like(groups)
    for trial in search.trials:
        _codes(groups, unit * np.float32(trial), search, codes)
        products = np.einsum("ij,ij->i", groups, codes)
        squares = np.einsum("ij,ij->i", codes, codes)
        scale = products * _reciprocal(squares)
        gain = scale * products
        better = gain > best
        best[better], scales[better] = gain[better], scale[better]
    return scales[:, None]


def _nearest(groups: Floats, scale: Floats, search: Search) -> tuple[Floats, Floats]:
    """The nearest codes under a scale, and the sum of squared errors of each group."""
    codes = np.empty_like(groups)
    _codes(groups, _reciprocal(scale), search, codes)
    rest = groups - codes * scale
    return codes, np.einsum("ij,ij->i", rest, rest)


def _codes(groups: Floats, factor: Floats, search: Search, out: Floats) -> None:
    np.multiply(groups, factor, out=out)
    np.rint(out, out=out)
    np.clip(out, search.low, search.high, out=out)


def _reciprocal(values: Floats) -> Floats:
    """1 / x; 0 for what no f16 scale can tell from zero, so that codes become 0."""
    tiny = np.abs(values) < _TINY
    return np.where(tiny, np.float32(0), np.float32(1) / np.where(tiny, np.float32(1), values))


def _rounded(scale: Floats) -> Floats:
    """What a scale is when it is stored as f16; beyond its range, the largest one."""
    clipped = np.clip(scale, -_LARGEST_SCALE, _LARGEST_SCALE)
    return clipped.astype(np.float16).astype(np.float32)
