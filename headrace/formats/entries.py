"""The formats of KV entries: how keys and values are rounded, and the bytes they take.

Each head's key or value of one position is rounded by itself:

    f32   as it is
    f16   to nearest even; beyond the range, to the largest finite number
    bf16  to nearest even
    q8    codes of 8 bits with one scale: d = f16(max |x| / 127), code = x / d to nearest even,
          within -127 .. 127; 1 / d is rounded to float32 before it multiplies
"""

from __future__ import annotations

import numpy as np

from headrace.errors import UnsupportedFormatError
from headrace.formats.floats import Floats, decode_bf16, encode_bf16

#: Bytes a number, and bytes a row beside them.
_BYTES = {"f32": (4, 0), "f16": (2, 0), "bf16": (2, 0), "q8": (1, 2)}

ENTRY_FORMATS = tuple(_BYTES)

_LARGEST_HALF = np.float32(np.finfo(np.float16).max)


def entry_bytes(format: str, features: int) -> int:
    """Bytes of one head's key or value of so many features."""
    number, scale = _BYTES[format]
    return features * number + scale


def round_entries(values: Floats, format: str) -> Floats:
    """Keys or values `[..., features]` as the cache gives them back.

    Raises:
        UnsupportedFormatError: there is no such format.
    """
    match format:
        case "f32":
            return values
        case "f16":
            return np.clip(values, -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16).astype("<f4")
        case "bf16":
            whole = np.ascontiguousarray(values, np.float32)
            return decode_bf16(encode_bf16(whole))
        case "q8":
            return _round_q8(values)
        case _:
            known = ", ".join(ENTRY_FORMATS)
            raise UnsupportedFormatError(
                f"there is no format '{format}' of KV entries", hint=f"one of {known}"
            )


def _round_q8(values: Floats) -> Floats:
    largest = np.abs(values).max(axis=-1, keepdims=True)
    bounded = np.minimum(largest / np.float32(127), _LARGEST_HALF)
    scale = bounded.astype(np.float16).astype(np.float32)
    inverse = np.zeros_like(scale)
    np.divide(np.float32(1), scale, out=inverse, where=scale > 0)
    codes = np.clip(np.rint(values * inverse), -127, 127)
    return (codes * scale).astype(np.float32)
