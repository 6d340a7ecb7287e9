"""The GGUF reader on whole files and on files that lie."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFEndian, GGUFValueType, GGUFWriter

from headrace.checkpoint.gguf import open_gguf
from headrace.errors import HeadraceError, MalformedFileError, SourceError, UnsupportedFormatError
from headrace.formats.random_blocks import random_matrix
from headrace.formats.storage import FORMATS

STRING, ARRAY, UINT32, BOOL = 8, 9, 4, 7


def sample_rows(name: str) -> np.ndarray:
    """The bytes of a [6, 512] tensor."""
    return random_matrix(np.random.default_rng(0), FORMATS[name], 6, 512)


def write_sample(path: Path, endian: GGUFEndian = GGUFEndian.LITTLE) -> Path:
    writer = GGUFWriter(path, "llama", endianess=endian)
    writer.add_uint32("llama.block_count", 2)
    writer.add_float32("llama.rope.freq_base", 1e4)
    writer.add_bool("tokenizer.ggml.add_bos_token", True)
    writer.add_array("tokenizer.ggml.tokens", ["a", "Ġb", "é", "𝄞"])
    writer.add_array("tokenizer.ggml.token_type", [1, 1, 3, 1])
    writer.add_key_value("flags", [True, False], GGUFValueType.ARRAY, GGUFValueType.BOOL)
    for name in FORMATS:
        raw = sample_rows(name)
        type = GGMLQuantizationType[name.upper()]
        writer.add_tensor(f"{name}.weight", raw, raw_dtype=type, tensor_endianess=endian)
    norm = np.arange(64, dtype=np.float32)
    writer.add_tensor("norm.weight", norm, tensor_endianess=endian)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def string(text: str | bytes) -> bytes:
    raw = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(raw)) + raw


def header(tensors: int, pairs: int, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs)


def tensor(name: str, shape: tuple[int, ...], type: int = 0, offset: int = 0) -> bytes:
    dims = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return string(name) + dims + struct.pack("<IQ", type, offset)


def padded(data: bytes, body: int) -> bytes:
    return data + bytes(-len(data) % 32 + body)


def test_values_and_tensors_are_as_written(tmp_path: Path) -> None:
    opened = open_gguf(write_sample(tmp_path / "a.gguf"))
    meta = opened.metadata
    assert meta["general.architecture"] == "llama"
    assert meta["llama.block_count"] == 2
    assert meta["tokenizer.ggml.add_bos_token"] is True
    assert meta["tokenizer.ggml.tokens"] == ["a", "Ġb", "é", "𝄞"]
    np.testing.assert_array_equal(meta["tokenizer.ggml.token_type"], [1, 1, 3, 1])
    np.testing.assert_array_equal(meta["flags"], [True, False])
    for name, format in FORMATS.items():
        stored = opened.tensor(f"{name}.weight")
        assert (stored.shape, stored.format) == ((6, 512), format)
        np.testing.assert_array_equal(stored.raw, sample_rows(name))
        assert not stored.raw.flags.writeable
    assert opened.tensor("norm.weight").dequantise().shape == (64,)
    assert len(opened.names()) == len(FORMATS) + 1


def test_version_2_is_read(tmp_path: Path) -> None:
    data = bytearray(write_sample(tmp_path / "a.gguf").read_bytes())
    data[4] = 2
    (tmp_path / "b.gguf").write_bytes(data)
    assert "f32.weight" in open_gguf(tmp_path / "b.gguf").names()


def test_big_endian_and_other_versions_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFormatError, match="big-endian"):
        open_gguf(write_sample(tmp_path / "be.gguf", GGUFEndian.BIG))
    (tmp_path / "v1.gguf").write_bytes(header(0, 0, version=1))
    with pytest.raises(UnsupportedFormatError, match="version 1"):
        open_gguf(tmp_path / "v1.gguf")


@pytest.mark.parametrize(
    ("code", "name"), [(16, "iq2_xxs"), (29, "iq1_m"), (34, "tq1_0"), (40, "nvfp4"), (24, "i8")]
)
def test_a_type_that_is_not_read_is_an_error_only_when_used(
    tmp_path: Path, code: int, name: str
) -> None:
    infos = tensor("a", (256, 2), type=code) + tensor("b", (8,), type=999, offset=512)
    (tmp_path / "k.gguf").write_bytes(padded(header(2, 0) + infos, 544))
    opened = open_gguf(tmp_path / "k.gguf")
    with pytest.raises(UnsupportedFormatError, match=f"'a' is stored as {name} .*{code}"):
        opened.tensor("a")
    with pytest.raises(UnsupportedFormatError, match=r"'b'.*999"):
        opened.tensor("b")
    with pytest.raises(MalformedFileError, match="no tensor 'c'"):
        opened.tensor("c")


def pair(key: str, type: int, value: bytes) -> bytes:
    return string(key) + struct.pack("<I", type) + value


def array(type: int, count: int, body: bytes = b"") -> bytes:
    return struct.pack("<IQ", type, count) + body


HUGE = 1 << 63
U32 = struct.pack("<I", 1)
MALFORMED: dict[str, tuple[bytes, str]] = {
    "not gguf": (b"PK\x03\x04" + bytes(40), "does not start with 'GGUF'"),
    "only magic": (b"GGUF", "the version"),
    "tensor count": (header(HUGE, 0) + bytes(64), "number of tensors"),
    "pair count": (header(0, HUGE) + bytes(64), "number of key-values"),
    "key length": (header(0, 1) + struct.pack("<Q", HUGE) + bytes(64), "a key has"),
    "empty key": (header(0, 1) + pair("", UINT32, U32), "empty"),
    "key twice": (header(0, 2) + 2 * pair("k", UINT32, U32), "'k' occurs twice"),
    "key bytes": (header(0, 1) + string(b"\xff\xfe") + bytes(32), "not UTF-8"),
    "value type": (header(0, 1) + pair("k", 77, bytes(16)), "type 77"),
    "bool": (header(0, 1) + pair("k", BOOL, b"\x02"), "bool of value 2"),
    "string value": (header(0, 1) + pair("k", STRING, struct.pack("<Q", HUGE)), "ends within"),
    "array count": (header(0, 1) + pair("k", ARRAY, array(UINT32, HUGE)), "length of"),
    "array type": (header(0, 1) + pair("k", ARRAY, array(55, 1, bytes(9))), "elements of type"),
    "array of arrays": (header(0, 1) + pair("k", ARRAY, array(ARRAY, 1, bytes(20))), "arrays"),
    "bool array": (header(0, 1) + pair("k", ARRAY, array(BOOL, 2, b"\x01\x07")), "neither"),
    "string array": (
        header(0, 1) + pair("k", ARRAY, array(STRING, 2, string("a") + struct.pack("<Q", HUGE))),
        "passes the end",
    ),
    "string array utf-8": (
        header(0, 1) + pair("k", ARRAY, array(STRING, 1, string(b"\xc3("))),
        "not UTF-8",
    ),
    "dimensions": (header(1, 0) + tensor("t", (1, 1, 1, 1, 1)), "5 dimensions"),
    "zero dimension": (padded(header(1, 0) + tensor("t", (0, 4)), 64), "impossible shape"),
    "overflow": (padded(header(1, 0) + tensor("t", (1 << 40, 1 << 40)), 64), "impossible shape"),
    "partial block": (padded(header(1, 0) + tensor("t", (33,), type=2), 64), "not whole q4_0"),
    "past the end": (padded(header(1, 0) + tensor("t", (64,)), 64), "but the file has"),
    "offset": (padded(header(1, 0) + tensor("t", (8,), offset=HUGE), 64), "but the file has"),
    "unaligned": (padded(header(1, 0) + tensor("t", (8,), offset=8), 64), "not a multiple of 32"),
    "tensor twice": (padded(header(2, 0) + 2 * tensor("t", (8,)), 64), "'t' occurs twice"),
    "overlap": (
        padded(header(2, 0) + tensor("t", (16,)) + tensor("u", (8,), offset=32), 64),
        "'t' and 'u' overlap",
    ),
    "alignment": (
        padded(header(0, 1) + pair("general.alignment", UINT32, struct.pack("<I", 24)), 64),
        "not a power of two",
    ),
    "alignment type": (
        padded(header(0, 1) + pair("general.alignment", STRING, string("x")), 64),
        "not a power of two",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_is_named_with_its_offset(tmp_path: Path, case: str) -> None:
    data, message = MALFORMED[case]
    path = tmp_path / "bad.gguf"
    path.write_bytes(data)
    with pytest.raises(MalformedFileError, match=message) as caught:
        open_gguf(path)
    assert (caught.value.where or "").startswith(f"{path}, byte ")


@pytest.mark.parametrize("make", [lambda path: None, Path.touch, Path.mkdir])
def test_no_file_an_empty_file_and_a_directory(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "x.gguf"
    make(path)
    with pytest.raises((SourceError, MalformedFileError)):
        open_gguf(path)


def test_every_cut_of_a_header_is_an_error(tmp_path: Path) -> None:
    whole = write_sample(tmp_path / "a.gguf").read_bytes()
    path = tmp_path / "cut.gguf"
    header_bytes = whole.index(b"norm.weight") + 64
    lengths = [*range(0, header_bytes, 7), *range(header_bytes, len(whole) - 32, 2999)]
    for length in lengths:
        path.write_bytes(whole[:length])
        with pytest.raises(HeadraceError):
            open_gguf(path)
