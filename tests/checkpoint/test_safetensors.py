"""Safetensors directories: zero-copy, sharded, damaged, and malicious."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.checkpoint.safetensors import INDEX, SINGLE, open_safetensors
from headrace.errors import HeadraceError, MalformedFileError, SourceError, UnsupportedFormatError
from headrace.formats.storage import FORMATS

DTYPES = {"F32": "f32", "F16": "f16", "BF16": "bf16"}


def values(shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(np.random.default_rng(len(shape)).standard_normal(shape), np.float32)


def write(path: Path, dtype: str, shapes: dict[str, tuple[int, ...]]) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, shape in shapes.items():
        row = FORMATS[DTYPES[dtype]].quantise(values(shape).reshape(1, -1)).tobytes()
        offsets = [len(data), len(data) + len(row)]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": offsets}
        data += row
    path.write_bytes(raw(header, data))


def raw(header: object, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_single_file(tmp_path: Path, dtype: str) -> None:
    shapes = {"w": (6, 10), "norm": (7,), "conv": (2, 3, 4), "scale": ()}
    write(tmp_path / SINGLE, dtype, shapes)
    opened = open_safetensors(tmp_path)
    assert sorted(opened.names()) == sorted(shapes)
    assert dict(opened.metadata) == {}
    for name, shape in shapes.items():
        stored, format = opened.tensor(name), FORMATS[DTYPES[dtype]]
        assert (stored.shape, stored.format) == (shape, format)
        assert not stored.raw.flags.writeable
        row = values(shape).reshape(1, -1)
        expected = format.dequantise(format.quantise(row), row.size).reshape(shape)
        np.testing.assert_array_equal(stored.dequantise(), expected)


def test_shards(tmp_path: Path) -> None:
    write(tmp_path / "model-1.safetensors", "BF16", {"a": (4, 4)})
    write(tmp_path / "model-2.safetensors", "F32", {"b": (3,)})
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (tmp_path / INDEX).write_text(json.dumps(index))
    opened = open_safetensors(tmp_path)
    assert opened.tensor("a").format.name == "bf16"
    np.testing.assert_array_equal(opened.tensor("b").dequantise(), values((3,)))
    with pytest.raises(MalformedFileError, match="no tensor 'c'"):
        opened.tensor("c")


@pytest.mark.parametrize(
    "name", ["../model.safetensors", "/etc/passwd", "sub/x", "..", ".", "", "a\\b", "a\0", 7, None]
)
def test_an_index_cannot_leave_its_directory(tmp_path: Path, name: object) -> None:
    write(tmp_path / SINGLE, "F32", {"a": (2,)})
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(MalformedFileError, match="not a plain file name"):
        open_safetensors(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": []}', "[" * 100_000, "\xff"])
def test_a_malformed_index(tmp_path: Path, text: str) -> None:
    (tmp_path / INDEX).write_bytes(text.encode("latin-1"))
    with pytest.raises(MalformedFileError):
        open_safetensors(tmp_path)


def test_an_index_that_places_a_tensor_wrongly(tmp_path: Path) -> None:
    write(tmp_path / SINGLE, "F32", {"a": (2,)})
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"b": SINGLE}}))
    with pytest.raises(MalformedFileError, match="does not hold it"):
        open_safetensors(tmp_path)


def test_a_missing_shard(tmp_path: Path) -> None:
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"b": "gone.safetensors"}}))
    with pytest.raises(SourceError, match=r"gone\.safetensors, which the index names, is missing"):
        open_safetensors(tmp_path)
    (tmp_path / "gone.safetensors").mkdir()
    with pytest.raises(SourceError, match=r"gone\.safetensors"):
        open_safetensors(tmp_path)


def test_released_tensors_are_read_again(tmp_path: Path) -> None:
    write(tmp_path / SINGLE, "F32", {"a": (300, 40), "b": (3,)})
    opened = open_safetensors(tmp_path)
    before = opened.tensor("a").dequantise()
    copy = before.copy()
    opened.release()
    np.testing.assert_array_equal(before, copy)


@pytest.mark.parametrize(
    "data",
    [
        b"\x01",
        struct.pack("<Q", 1 << 62) + bytes(32),
        raw([]),
        raw({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(4)),
        raw({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, bytes(8)),
        raw({"a": {"dtype": "F32", "shape": [1 << 62, 8], "data_offsets": [0, 8]}}, bytes(8)),
        raw({"a": {"dtype": "Q9", "shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
        raw({"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}, bytes(8)),
    ],
)
def test_a_malformed_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / SINGLE).write_bytes(data)
    with pytest.raises(MalformedFileError):
        open_safetensors(tmp_path)


def test_a_type_that_is_not_read_is_an_error_only_when_used(tmp_path: Path) -> None:
    header = {"a": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]}}
    (tmp_path / SINGLE).write_bytes(raw(header, bytes(8)))
    opened = open_safetensors(tmp_path)
    with pytest.raises(UnsupportedFormatError, match="'a' is stored as I64"):
        opened.tensor("a")


def test_no_weights_at_all(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"neither model\.safetensors"):
        open_safetensors(tmp_path)


@settings(max_examples=200, deadline=None)
@given(flips=st.lists(st.tuples(st.integers(0, 180), st.integers(1, 255)), min_size=1, max_size=4))
def test_flipped_bytes(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]]
) -> None:
    directory = tmp_path_factory.getbasetemp() / "flipped"
    directory.mkdir(exist_ok=True)
    write(directory / SINGLE, "F16", {"a": (4, 4), "b": (8,)})
    data = bytearray((directory / SINGLE).read_bytes())
    for position, mask in flips:
        data[position] ^= mask
    (directory / SINGLE).write_bytes(data)
    try:
        opened = open_safetensors(directory)
        for name in opened.names():
            opened.tensor(name).dequantise()
    except HeadraceError:
        pass
