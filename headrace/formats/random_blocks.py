"""Random matrices in any storage format, made as bytes: no values are rounded on the way."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from headrace.formats.groups import parse_group
from headrace.formats.storage import FORMATS, StorageFormat, storage_format

Bytes = NDArray[np.uint8]

SCALE_SPREAD = (0.5, 1.5)
_SAMPLE_BLOCKS = 2048


@dataclass(frozen=True, slots=True)
class Scale:
    """A number of a block that its codes are multiplied with.

    Attributes:
        at: its offset in the block.
        stored: the name of the format in which it is stored.
        factor: what it is of the block's first scale; chosen so that values have mean 0.
    """

    at: int
    stored: str = "f16"
    factor: float = 1.0


_SCALES: dict[str, tuple[Scale, ...]] = {
    "q4_0": (Scale(0),),
    "q4_1": (Scale(0), Scale(2, factor=-7.5)),
    "q5_0": (Scale(0),),
    "q5_1": (Scale(0), Scale(2, factor=-15.5)),
    "q8_0": (Scale(0),),
    "q2_k": (Scale(80), Scale(82, factor=1.5)),
    "q3_k": (Scale(108),),
    "q4_k": (Scale(0), Scale(2, factor=7.5)),
    "q5_k": (Scale(0), Scale(2, factor=15.5)),
    "q6_k": (Scale(208),),
    "iq4_nl": (Scale(0),),
    "iq4_xs": (Scale(0),),
}


def random_matrix(
    random: np.random.Generator,
    format: StorageFormat,
    rows: int,
    cols: int,
    deviation: float | None = None,
) -> Bytes:
    """[rows, row_bytes] of finite values of mean 0; every code and sub-scale occurs.

    What fills up the last block of a row is random too: nobody may read it.

    Args:
        deviation: about what the values have; 1/√cols if not given.
    """
    wanted = cols**-0.5 if deviation is None else deviation
    if format.block == 1:
        values = random.standard_normal((rows, cols), np.float32)
        values *= np.float32(wanted)
        return format.quantise(values)
    count = rows * (format.row_bytes(cols) // format.block_bytes)
    if format.name == "mxfp4":
        made = _with_exponents(random, format, count, wanted)
    else:
        made = _with_scales(random, format, count, wanted / _unit_deviation(format.name))
    return made.reshape(rows, -1)


def _with_scales(
    random: np.random.Generator, format: StorageFormat, count: int, mean: float
) -> Bytes:
    # Codes need not be symmetric about 0: random signs of the scales keep the mean at 0.
    scales = random.uniform(*SCALE_SPREAD, (count, 1)).astype(np.float32) * np.float32(mean)
    scales *= random.choice(np.array([-1, 1], np.float32), (count, 1))
    made = _random_codes(random, format, count)
    _set_scales(made, format.name, scales)
    return made


def _random_codes(random: np.random.Generator, format: StorageFormat, count: int) -> Bytes:
    made = random.integers(0, 256, (count, format.block_bytes), np.uint8)
    if format.name == "q8_0":
        made += made == 0x80  # ggml never writes -128, and kernels may count on it
    elif format.name.startswith("f8"):
        made -= (made & np.uint8(0x7F)) == 0x7F  # NaN
    return made


def _set_scales(made: Bytes, name: str, scales: NDArray[np.float32]) -> None:
    for scale in _scales_of(name):
        raw = FORMATS[scale.stored].quantise(scales * np.float32(scale.factor))
        made[:, scale.at : scale.at + raw.shape[1]] = raw


def _scales_of(name: str) -> tuple[Scale, ...]:
    layout = parse_group(name)
    return _SCALES[name] if layout is None else (Scale(0, layout.scale),)


@cache
def _unit_deviation(name: str) -> float:
    """Deviation of values whose scales are 1, measured on random codes."""
    format = storage_format(name)
    made = _random_codes(np.random.default_rng(0), format, _SAMPLE_BLOCKS)
    _set_scales(made, name, np.ones((_SAMPLE_BLOCKS, 1), np.float32))
    return float(np.sqrt(np.mean(np.square(format.dequantise(made, format.block)))))


def _with_exponents(
    random: np.random.Generator, format: StorageFormat, count: int, deviation: float
) -> Bytes:
    """Powers of two on both sides of the wanted scale, mixed so that the mean square is right."""
    made = random.integers(0, 256, (count, format.block_bytes), np.uint8)
    made[:, 0] = 127
    unit = float(np.sqrt(np.mean(np.square(format.dequantise(made, format.block)))))
    exponent = int(np.floor(np.log2(deviation / unit)))
    upper = ((deviation / unit / 2.0**exponent) ** 2 - 1) / 3
    made[:, 0] = np.clip(127 + exponent + (random.random(count) < upper), 0, 254)
    return made
