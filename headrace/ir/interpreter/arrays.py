"""The NumPy meaning of the row-wise model operators; everything is float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Mask = NDArray[np.bool_]


def norm(
    x: Floats,
    weight: Floats | None,
    bias: Floats | None,
    epsilon: float,
    offset: float,
    *,
    is_layer: bool,
) -> Floats:
    """Norm over the last axis; see `NormOp`. Weight and bias may have an entry a head's feature."""
    if is_layer:
        x = x - np.mean(x, axis=-1, keepdims=True, dtype=np.float32)
    mean = np.mean(x * x, axis=-1, keepdims=True, dtype=np.float32)
    scaled = x / np.sqrt(mean + np.float32(epsilon))
    if weight is not None:
        scaled = scaled * (_per_feature(weight, x) + np.float32(offset))
    if bias is not None:
        scaled = scaled + _per_feature(bias, x)
    return scaled.astype(np.float32, copy=False)


def _per_feature(vector: Floats, x: Floats) -> Floats:
    return vector if len(vector) == x.shape[-1] else vector.reshape(x.shape[1:])


def rope(x: Floats, positions: Ints, frequencies: Floats, scale: float, style: str) -> Floats:
    """Rotate the first 2n features of each head of `x`, [T, heads, head], by n frequencies.

    The angle is the float32 product of position and frequency; its cosine and sine are exact to
    float32. See `RopeOp` for the styles. Source: Su et al. 2021.
    """
    angles = positions[:, None].astype(np.float32) * frequencies
    wide = angles.astype(np.float64)[:, None, :]
    cosine = np.cos(wide).astype(np.float32) * np.float32(scale)
    sine = np.sin(wide).astype(np.float32) * np.float32(scale)
    low, high = _paired(len(frequencies), style)
    turned = x.copy()
    turned[..., low] = x[..., low] * cosine - x[..., high] * sine
    turned[..., high] = x[..., high] * cosine + x[..., low] * sine
    return turned


def _paired(count: int, style: str) -> tuple[slice, slice]:
    """The features that n frequencies turn against each other."""
    if style == "pairs":
        return slice(0, 2 * count, 2), slice(1, 2 * count, 2)
    return slice(0, count), slice(count, 2 * count)


def linear(x: Floats, weight: Floats, bias: Floats | None) -> Floats:
    """`[T, cols] x [rows, cols] (+ [rows]) -> [T, rows]`."""
    product = x @ weight.T
    return product if bias is None else product + bias


def round_to_q8(x: Floats) -> Floats:
    """The values that 8-bit activations stand for: per 32 features, multiples of amax / 127."""
    features = x.shape[-1]
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, -features % 32)])
    blocks = padded.reshape(*x.shape[:-1], -1, 32)
    scales = np.max(np.abs(blocks), axis=-1, keepdims=True) / np.float32(127)
    steps: Floats = np.rint(blocks / np.where(scales == 0, np.float32(1), scales))
    return (steps * scales).reshape(padded.shape)[..., :features]


def largest(logits: Floats) -> Ints:
    """The index of the largest logit of each row, the lowest among equals."""
    return np.argmax(logits, axis=-1).astype(np.int32)
