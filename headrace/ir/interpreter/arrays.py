"""The NumPy meaning of the row-wise model operators; everything is float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


def norm(x: Floats, weight: Floats, epsilon: float, offset: float) -> Floats:
    """Root-mean-square norm over the last axis. Source: Zhang and Sennrich 2019."""
    mean = np.mean(x * x, axis=-1, keepdims=True, dtype=np.float32)
    scaled = x / np.sqrt(mean + np.float32(epsilon))
    return (scaled * (weight + np.float32(offset))).astype(np.float32, copy=False)


def rope(x: Floats, positions: Ints, frequencies: Floats, scale: float) -> Floats:
    """Rotate the pairs (i, i + head/2) of `x`, [T, heads, head]. Source: Su et al. 2021.

    The angle is the float32 product of position and frequency; its cosine and sine are exact to
    float32.
    """
    angles = positions[:, None].astype(np.float32) * frequencies
    wide = angles.astype(np.float64)[:, None, :]
    cosine = np.cos(wide).astype(np.float32) * np.float32(scale)
    sine = np.sin(wide).astype(np.float32) * np.float32(scale)
    low, high = np.split(x, 2, axis=-1)
    turned = np.empty_like(x)
    turned[..., : x.shape[-1] // 2] = low * cosine - high * sine
    turned[..., x.shape[-1] // 2 :] = high * cosine + low * sine
    return turned


def linear(x: Floats, weight: Floats, bias: Floats | None) -> Floats:
    """`[T, cols] x [rows, cols] (+ [rows]) -> [T, rows]`."""
    product = x @ weight.T
    return product if bias is None else product + bias


def round_to_q8(x: Floats) -> Floats:
    """The values that 8-bit activations stand for: per 32 features, multiples of amax / 127."""
    blocks = x.reshape(*x.shape[:-1], -1, 32)
    scales = np.max(np.abs(blocks), axis=-1, keepdims=True) / np.float32(127)
    steps: Floats = np.rint(blocks / np.where(scales == 0, np.float32(1), scales))
    return (steps * scales).reshape(x.shape)


def round_to_f16(x: Floats) -> Floats:
    """The values that float16 entries stand for."""
    return x.astype(np.float16).astype(np.float32)


def largest(logits: Floats) -> Ints:
    """The index of the largest logit of each row, the lowest among equals."""
    return np.argmax(logits, axis=-1).astype(np.int32)
