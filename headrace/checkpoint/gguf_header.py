"""The header of a GGUF file: key-values and tensor infos, each checked against the file.

Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod

from headrace.checkpoint.cursor import Cursor
from headrace.checkpoint.ggml_types import GGML_TYPES
from headrace.checkpoint.gguf_values import read_value
from headrace.errors import UnsupportedFormatError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
LONGEST_NAME = 65535
MOST_DIMENSIONS = 4  # GGML_MAX_DIMS
MOST_ELEMENTS = 1 << 62
LEAST_KEY_VALUE_BYTES = 8 + 4 + 1
LEAST_TENSOR_INFO_BYTES = 8 + 4 + 4 + 8


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where a tensor lies.

    Attributes:
        type: ggml's number of its type.
        shape: PyTorch's order (the reverse of the file's).
        offset: absolute, in bytes.
        nbytes: None when the type is unknown.
        described_at: offset of its entry in the header, for messages.
    """

    name: str
    type: int
    shape: tuple[int, ...]
    offset: int
    nbytes: int | None
    described_at: int


@dataclass(frozen=True, slots=True)
class Header:
    metadata: dict[str, object]
    tensors: dict[str, TensorInfo]


def read_header(cursor: Cursor) -> Header:
    """Parse the header at the start of the file.

    Raises:
        MalformedFileError: the header contradicts itself or the size of the file.
        UnsupportedFormatError: another version or byte order.
    """
    _read_version(cursor)
    tensor_count = cursor.count("the number of tensors", LEAST_TENSOR_INFO_BYTES)
    pair_count = cursor.count("the number of key-values", LEAST_KEY_VALUE_BYTES)
    metadata: dict[str, object] = {}
    for _ in range(pair_count):
        _read_pair(cursor, metadata)
    relative = _read_infos(cursor, tensor_count)
    alignment = _alignment(cursor, metadata)
    data_start = -(-cursor.position // alignment) * alignment
    tensors = {info.name: _placed(cursor, info, data_start, alignment) for info in relative}
    _check_overlaps(cursor, tensors)
    return Header(metadata, tensors)


def _read_version(cursor: Cursor) -> None:
    start = cursor.need(4, "the magic number")
    if cursor.data[start : start + 4] != MAGIC:
        raise cursor.malformed("this is not a GGUF file: it does not start with 'GGUF'", start)
    version = cursor.u32("the version")
    if version in VERSIONS:
        return
    if version & 0xFFFF == 0 and version:
        what = "this GGUF file is big-endian, which headrace does not read"
    else:
        what = f"this GGUF file has version {version}; headrace reads versions 2 and 3"
    raise UnsupportedFormatError(
        what,
        where=f"{cursor.path}, byte 4",
        hint="convert the model again with a current llama.cpp",
    )


def _read_pair(cursor: Cursor, metadata: dict[str, object]) -> None:
    at = cursor.position
    key = cursor.string("a key", LONGEST_NAME)
    if not key:
        raise cursor.malformed("a key is empty", at)
    if key in metadata:
        raise cursor.malformed(f"key '{key}' occurs twice", at)
    metadata[key] = read_value(cursor, cursor.u32(f"the type of '{key}'"), key)


def _read_infos(cursor: Cursor, count: int) -> list[TensorInfo]:
    infos: dict[str, TensorInfo] = {}
    for _ in range(count):
        info = _read_info(cursor)
        if info.name in infos:
            raise cursor.malformed(f"tensor '{info.name}' occurs twice", info.described_at)
        infos[info.name] = info
    return list(infos.values())


def _read_info(cursor: Cursor) -> TensorInfo:
    at = cursor.position
    name = cursor.string("a tensor's name", LONGEST_NAME)
    what = f"tensor '{name}'"
    dimensions = cursor.u32(f"the dimensions of {what}")
    if dimensions > MOST_DIMENSIONS:
        raise cursor.malformed(
            f"{what} has {dimensions} dimensions, more than {MOST_DIMENSIONS}", at
        )
    shape = tuple(cursor.u64(f"the shape of {what}") for _ in range(dimensions))[::-1]
    if 0 in shape or prod(shape) > MOST_ELEMENTS:
        raise cursor.malformed(f"{what} has the impossible shape {shape}", at)
    code = cursor.u32(f"the type of {what}")
    offset = cursor.u64(f"the offset of {what}")
    return TensorInfo(name, code, shape, offset, _nbytes(cursor, what, code, shape, at), at)


def _nbytes(cursor: Cursor, what: str, code: int, shape: tuple[int, ...], at: int) -> int | None:
    known = GGML_TYPES.get(code)
    if known is None:
        return None
    cols = shape[-1] if shape else 1
    if cols % known.block:
        raise cursor.malformed(f"{what} has rows of {cols}, not whole {known.name} blocks", at)
    return prod(shape) // known.block * known.block_bytes


def _alignment(cursor: Cursor, metadata: dict[str, object]) -> int:
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise cursor.malformed(f"general.alignment is {alignment!r}, not a power of two")
    return alignment


def _placed(cursor: Cursor, info: TensorInfo, data_start: int, alignment: int) -> TensorInfo:
    what, at = f"tensor '{info.name}'", info.described_at
    if info.offset % alignment:
        raise cursor.malformed(f"{what} starts at {info.offset}, not a multiple of {alignment}", at)
    start = data_start + info.offset
    if start + (info.nbytes or 0) > cursor.size:
        raise cursor.malformed(
            f"{what} lies at bytes {start} to {start + (info.nbytes or 0)}, "
            f"but the file has {cursor.size} bytes",
            at,
        )
    return TensorInfo(info.name, info.type, info.shape, start, info.nbytes, at)


def _check_overlaps(cursor: Cursor, tensors: dict[str, TensorInfo]) -> None:
    placed = sorted(tensors.values(), key=lambda info: info.offset)
    for before, after in pairwise(placed):
        if before.offset + (before.nbytes or 0) > after.offset:
            raise cursor.malformed(
                f"tensors '{before.name}' and '{after.name}' overlap", after.described_at
            )
