"""A whole tensor in another format, converted with all processors in bounded pieces."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from headrace.checkpoint.tensors import Bytes, StoredTensor
from headrace.formats.quantise import convert
from headrace.formats.storage import StorageFormat

#: Values converted at a time by each thread.
_CHUNK_VALUES = 1 << 20


def converted(tensor: StoredTensor, format: StorageFormat) -> Bytes:
    """All rows of a tensor in a format, [rows, row_bytes]; as stored if it has that format.

    Raises:
        UnsupportedModelError: a value is not finite, and the format shares scales.
    """
    if tensor.format == format:
        return tensor.raw
    made = np.empty((tensor.row_count, format.row_bytes(tensor.cols)), np.uint8)
    step = max(1, _CHUNK_VALUES // max(tensor.cols, 1))

    def fill(first: int) -> None:
        wanted = slice(first, min(first + step, tensor.row_count))
        values = tensor.format.dequantise(tensor.rows(wanted), tensor.cols)
        made[wanted] = convert(values, format)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0)), "headrace-convert") as pool:
        for _ in pool.map(fill, range(0, tensor.row_count, step)):
            pass
    return made
