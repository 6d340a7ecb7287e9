"""How a weight, named as in the PyTorch module, is found in a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.checkpoint.formats import FORMATS
from headrace.checkpoint.tensors import Checkpoint, StoredTensor
from headrace.errors import MalformedFileError, UnsupportedFormatError


@dataclass(frozen=True, slots=True)
class Binding:
    """A checkpoint's tensor and what its writer did to it.

    Attributes:
        tensor: its name in the file.
        unpermute_heads: heads whose rows llama.cpp's converter interleaved for its rotary
            layout; undone by a gather of whole rows, so quantised blocks stay as they are.
        add: a constant to add (Gemma files hold 1 + w where the module wants w: -1.0).
    """

    tensor: str
    unpermute_heads: int | None = None
    add: float = 0.0


def bind(checkpoint: Checkpoint, binding: Binding) -> StoredTensor:
    """The tensor as the PyTorch module means it.

    Raises:
        MalformedFileError: the tensor is missing or its rows do not divide into the heads.
        UnsupportedFormatError: a constant is to be added to a block format.
    """
    stored = checkpoint.tensor(binding.tensor)
    if binding.unpermute_heads is not None:
        stored = _unpermute(checkpoint, stored, binding.unpermute_heads)
    if binding.add:
        stored = _add(checkpoint, stored, binding.add)
    return stored


def _unpermute(checkpoint: Checkpoint, stored: StoredTensor, heads: int) -> StoredTensor:
    bias = len(stored.shape) == 1
    rows = _elements(stored) if bias else stored.raw
    if heads < 1 or len(rows) % (2 * heads):
        raise MalformedFileError(
            f"tensor '{stored.name}' has {len(rows)} rows, not {heads} heads of an even size",
            where=str(checkpoint.path),
        )
    gathered = rows[_halves_from_pairs(len(rows), heads)]
    raw = gathered.reshape(stored.raw.shape)
    return StoredTensor(stored.name, stored.format, stored.shape, raw)


def _elements(stored: StoredTensor) -> NDArray[np.uint8]:
    if stored.format.block != 1:
        raise UnsupportedFormatError(
            f"the bias '{stored.name}' is stored in blocks ({stored.format.name}) "
            "and its rotary order cannot be undone"
        )
    return stored.raw.reshape(stored.cols, stored.format.block_bytes)


def _halves_from_pairs(rows: int, heads: int) -> NDArray[np.intp]:
    """Source row of each row: (heads, hd/2, 2) in the file → (heads, 2, hd/2) in the module."""
    return np.arange(rows).reshape(heads, -1, 2).swapaxes(1, 2).reshape(rows)


def _add(checkpoint: Checkpoint, stored: StoredTensor, constant: float) -> StoredTensor:
    if stored.format.block != 1:
        raise UnsupportedFormatError(
            f"tensor '{stored.name}' is stored as {stored.format.name}; "
            f"{constant:+g} can only be added to f32, f16 and bf16",
            where=str(checkpoint.path),
        )
    values = stored.dequantise() + np.float32(constant)
    raw = FORMATS["f32"].quantise(values.reshape(len(stored.raw), -1))
    return StoredTensor(stored.name, FORMATS["f32"], stored.shape, raw)
