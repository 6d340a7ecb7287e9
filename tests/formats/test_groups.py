"""The formats in groups against their definition, written out value by value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.errors import UnsupportedFormatError
from headrace.formats.random_blocks import random_matrix
from headrace.formats.storage import StorageFormat, storage_format

GROUPS = (32, 64, 128)
SCALES = {"f16": 2, "bf16": 2, "f32": 4}
NAMES = [
    f"{codes}_g{group}_{scale}{zero}"
    for codes in ("int4", "int8")
    for group in GROUPS
    for scale in SCALES
    for zero in ("", "z")
] + [f"f8_g{group}" for group in GROUPS]


def scale_of(block: bytes, stored: str) -> np.float32:
    if stored == "f16":
        return np.float32(np.frombuffer(block[:2], "<f2")[0])
    wide = block[:4] if stored == "f32" else bytes(2) + block[:2]
    return np.frombuffer(wide, "<f4")[0]


def value(name: str, block: bytes, column: int) -> np.float32:
    """The definition in `groups`' docstring."""
    codes, group = name.split("_")[0], int(name.split("_")[1][1:])
    stored = "f32" if codes == "f8" else name.split("_")[2].removesuffix("z")
    at = SCALES[stored]
    zero = 8 if codes == "int4" else 128
    if name.endswith("z"):
        zero, at = block[at], at + 1
    if codes == "int4":
        byte = block[at + column % (group // 2)]
        code = byte >> 4 if column >= group // 2 else byte & 15
    else:
        code = block[at + column]
    return scale_of(block, stored) * np.float32(code - zero)


@pytest.mark.parametrize("name", [each for each in NAMES if not each.startswith("f8")])
@settings(max_examples=4, deadline=None)
@given(rows=st.integers(1, 3), cols=st.integers(1, 200), seed=st.integers(0, 2**32))
def test_each_value_is_as_defined(name: str, rows: int, cols: int, seed: int) -> None:
    format = storage_format(name)
    raw = random_matrix(np.random.default_rng(seed), format, rows, cols)
    got = format.dequantise(raw, cols)
    for row in range(rows):
        for col in range(cols):
            start = col // format.block * format.block_bytes
            block = raw[row, start : start + format.block_bytes].tobytes()
            assert got[row, col] == value(name, block, col % format.block)


@pytest.mark.parametrize("group", GROUPS)
def test_f8_is_torchs_e4m3(group: int) -> None:
    torch = pytest.importorskip("torch")
    format = storage_format(f"f8_g{group}")
    codes = np.resize(np.arange(256, dtype=np.uint8), (8, group))
    scales = np.random.default_rng(0).standard_normal((8, 1)).astype(np.float32)
    raw = np.concatenate([scales.view(np.uint8), codes], axis=1).reshape(2, -1)
    expected = torch.from_numpy(codes).view(torch.float8_e4m3fn).float().numpy() * scales
    np.testing.assert_array_equal(format.dequantise(raw, 4 * group), expected.reshape(2, -1))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_gives_one_format(name: str) -> None:
    format = storage_format(name)
    assert format is storage_format(name)
    assert format == StorageFormat(
        name, format.block, format.block_bytes, format.decode, None, format.integer
    )
    assert format.name == name
    assert format.integer is not name.startswith("f8")
    with pytest.raises(UnsupportedFormatError, match="does not write it"):
        format.quantise(np.zeros((1, 128), np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_random_values_have_mean_0_and_the_deviation_wanted(name: str) -> None:
    format = storage_format(name)
    raw = random_matrix(np.random.default_rng(0), format, 256, 1024, 0.5)
    values = format.dequantise(raw, 1024)
    # A block's values share the sign of its scale, so a mean is as sure as its blocks are many:
    # 0.5 / √2048 for g128, three times that as the limit.
    assert abs(values.mean()) < 0.033
    assert 0.45 < values.std() < 0.575


@pytest.mark.parametrize(
    ("name", "block_bytes"),
    [
        ("int4_g32_f16", 18),
        ("int4_g128_f16z", 67),
        ("int8_g64_bf16", 66),
        ("int8_g128_f32z", 133),
        ("f8_g128", 132),
    ],
)
def test_block_bytes(name: str, block_bytes: int) -> None:
    assert storage_format(name).block_bytes == block_bytes
    assert storage_format(name).row_bytes(129) == -(-129 // storage_format(name).block) * (
        block_bytes
    )


@pytest.mark.parametrize(
    "name",
    ["int4_g16_f16", "int4_g32", "int4_g32_f8", "f8_g32_f16", "int2_g32_f16", "int4_g32_f16zz"],
)
def test_other_parameters_are_refused(name: str) -> None:
    with pytest.raises(UnsupportedFormatError, match="there is no storage format"):
        storage_format(name)
