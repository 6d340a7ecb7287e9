"""SentencePiece's own file, tokenizer.model: what a vocabulary of the BPE kind needs of it.

Source of the format: sentencepiece_model.proto of https://github.com/google/sentencepiece; the
encoding is that of protocol buffers (https://protobuf.dev/programming-guides/encoding/).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite

from headrace.errors import TokenizerError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
UNIGRAM = 1
NORMAL = 1

Field = tuple[int, int | bytes]


@dataclass(frozen=True, slots=True)
class SentencePieceModel:
    """The vocabulary in the order of ids; `types` as in `tokenizer.ggml.token_type`."""

    pieces: tuple[str, ...]
    scores: tuple[float, ...]
    types: tuple[int, ...]
    unknown: int
    add_dummy_prefix: bool


def read_sentencepiece(data: bytes, where: str) -> SentencePieceModel:
    """Read a tokenizer.model.

    Raises:
        TokenizerError: it is malformed, or a vocabulary that is not of the BPE kind or changes
            characters in a way of its own.
    """
    try:
        return _model(data, where)
    except (ValueError, IndexError, struct.error) as error:
        raise TokenizerError(f"not a SentencePiece model: {error}", where=where) from error


def _model(data: bytes, where: str) -> SentencePieceModel:
    top = list(_fields(data))
    pieces = [_piece(_message(value)) for number, value in top if number == 1]
    trainer = dict(_fields(b"".join(_message(value) for number, value in top if number == 2)))
    normalizer = dict(_fields(b"".join(_message(value) for number, value in top if number == 3)))
    if not pieces:
        raise ValueError("it holds no pieces")
    if trainer.get(3, UNIGRAM) == UNIGRAM:
        raise _unsupported("is of the unigram kind", where)
    if normalizer.get(2):
        raise _unsupported("changes characters by a table of its own", where)
    unknown = trainer.get(40, 0)
    if not isinstance(unknown, int) or unknown >= len(pieces):
        raise ValueError(f"its unknown piece is {unknown!r}")
    texts, scores, types = zip(*pieces, strict=True)
    return SentencePieceModel(texts, scores, types, unknown, normalizer.get(3, 1) == 1)


def _piece(data: bytes) -> tuple[str, float, int]:
    fields = dict(_fields(data))
    score: float = struct.unpack("<f", _message(fields.get(2, b"\0\0\0\0")))[0]
    kind = fields.get(3, NORMAL)
    if not isinstance(kind, int) or not isfinite(score):
        raise ValueError("a piece has no type or score")
    return _message(fields.get(1, b"")).decode(), score, kind


def _message(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a number where text was expected")
    return value


def _fields(data: bytes) -> Iterator[Field]:
    """Numbers and values of a message's fields, in order; nested messages as bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == BYTES:
            length, at = _varint(data, at)
        elif kind in (FIXED32, FIXED64):
            length = 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"a field of the wire type {kind}")
        if at + length > len(data):
            raise ValueError(f"it ends within a field at byte {at}")
        yield number, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(f"a number without an end at byte {at}")


def _unsupported(what: str, where: str) -> TokenizerError:
    return TokenizerError(
        f"the SentencePiece vocabulary {what}",
        where=where,
        hint="save it as tokenizer.json: "
        "AutoTokenizer.from_pretrained(MODEL).save_pretrained(DIRECTORY)",
    )
