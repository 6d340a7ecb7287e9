"""MXFP4: codes of e2m1, two a byte, and a power of two for 32 columns.

gpt-oss publishes `*_blocks` [rows, groups, 16] and `*_scales` [rows, groups], compressed-tensors
(mxfp4-pack-quantized) `weight_packed` [rows, cols / 2] and `weight_scale` [rows, groups]. In both,
neighbouring columns share a byte, the first in its low half (transformers'
`convert_moe_packed_tensors`); in a block of ours, as in ggml's, columns *i* and *i + 16* do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from headrace.checkpoint.quantised.module import Parts
from headrace.checkpoint.quantised.rows import unpack_nibbles
from headrace.checkpoint.tensors import Bytes, StoredTensor, Wanted
from headrace.errors import UnsupportedModelError
from headrace.formats.storage import storage_format

GROUP, HALF = 32, 16
SCALES = ("U8", "F8_E8M0")


@dataclass(frozen=True)
class Mxfp4Matrix:
    """A matrix of MXFP4; its parts are called `codes` and `scales`."""

    parts: Parts

    @cached_property
    def shape(self) -> tuple[int, int]:
        codes = self.parts.typed("codes", ("U8",)).shape
        if len(codes) == 4:
            raise UnsupportedModelError(
                f"'{self.parts.names['codes']}' holds the matrices of {codes[0]} experts; "
                "mixtures of experts cannot be captured yet",
                where=self.parts.where,
                hint="take a dense model",
            )
        if len(codes) not in (2, 3) or (len(codes) == 3 and codes[2] != HALF):
            raise self.parts.malformed("codes", "[rows, groups, 16]")
        rows, held = codes[0], int(np.prod(codes[1:]))
        if held % HALF:
            raise self.parts.malformed("codes", "a row of whole groups of 32 columns")
        self.parts.typed("scales", SCALES, 2)
        self.parts.require_shape("scales", (rows, held // HALF))
        return rows, 2 * held

    def stored(self, name: str) -> StoredTensor:
        rows, cols = self.shape
        codes = self.parts.array("codes").reshape(rows, cols // 2)
        scales = self.parts.array("scales")

        def make(wanted: Wanted) -> Bytes:
            values = unpack_nibbles(codes[wanted]).reshape(-1, cols // GROUP, GROUP)
            made = np.empty((*values.shape[:2], 1 + HALF), np.uint8)
            made[..., 0] = scales[wanted]
            made[..., 1:] = values[..., :HALF] | (values[..., HALF:] << np.uint8(4))
            return made.reshape(len(values), -1)

        return StoredTensor(name, storage_format("mxfp4"), (rows, cols), make)
