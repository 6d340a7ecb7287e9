"""Directories without tokenizer.json, against transformers' classes with the same vocabulary."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    CohereTokenizer,
    GemmaTokenizer,
    GPT2Tokenizer,
    LlamaTokenizer,
    Qwen2Tokenizer,
)
from transformers.convert_slow_tokenizer import generate_merges

from headrace.errors import TokenizerError
from headrace.text import Tokenizer
from headrace.text.sentencepiece_model import read_sentencepiece
from tests.text.vocabularies import (
    BYTE,
    CONTROL,
    CORPUS,
    NORMAL,
    SPECIALS,
    UNKNOWN,
    USER_DEFINED,
    byte_level,
    sentencepiece_pieces,
)

TEXTS = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="the wheel's\n\t ▁<>|0x12½ÄJé水가🎉\u200d\u3000", max_size=60),
    st.sampled_from(CORPUS),
)
ADDED = "<|turn|>"


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | bytes | float) -> bytes:
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


@cache
def pieces() -> list[tuple[str, int]]:
    raw = [(f"<0x{byte:02X}>", BYTE) for byte in range(256)]
    special = [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL), ("<user>", USER_DEFINED)]
    return [*special, *raw, *((piece, NORMAL) for piece in sentencepiece_pieces())]


def model_file(*, kind: int = 2, dummy_prefix: bool = True, table: bytes = b"") -> bytes:
    """A ModelProto with scores that fall with the ids."""
    listed = b"".join(
        field(1, field(1, piece.encode()) + field(2, -float(index)) + field(3, type_))
        for index, (piece, type_) in enumerate(pieces())
    )
    trainer = field(3, kind) + field(40, 0)
    normalizer = field(1, b"identity") + field(2, table) + field(3, int(dummy_prefix))
    return listed + field(2, trainer) + field(3, normalizer)


def write(path: Path, config: dict[str, Any], **files: bytes | str) -> Tokenizer:
    path.mkdir(exist_ok=True)
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    for name, content in files.items():
        target = path / name.replace("__", ".")
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Tokenizer.from_directory(path)


LLAMA = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
TURN = {"content": ADDED, "special": True, "lstrip": False, "rstrip": False, "normalized": False}


def sentencepiece_pair(
    directory: Path, kind: Any, config: dict[str, Any], **settings: Any
) -> tuple[Tokenizer, Any]:
    count = len(pieces())
    named = {**LLAMA, "tokenizer_class": kind.__name__, **config}
    extra = {"added_tokens_decoder": {str(count): TURN}}
    ours = write(directory, {**named, **extra}, tokenizer__model=model_file())
    vocabulary = {piece: index for index, (piece, _) in enumerate(pieces())}
    whole = {piece for piece, type_ in pieces() if type_ != NORMAL}
    ranks = {piece: -float(index) for index, (piece, _) in enumerate(pieces())}
    merges = [m for m in generate_merges(vocabulary, ranks) if not whole & {*m, "".join(m)}]
    theirs = kind(vocab=vocabulary, merges=merges, **LLAMA, **settings)
    theirs.add_tokens(["<user>"])
    theirs.add_tokens([ADDED], special_tokens=True)
    return ours, theirs


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Tokenizer, Any]]:
    root = tmp_path_factory.mktemp("slow")
    vocabulary = byte_level()
    model = json.loads(vocabulary.to_str())["model"]
    merges = "#version: 0.2\n" + "\n".join(" ".join(merge) for merge in model["merges"])
    found = {
        "llama": sentencepiece_pair(root / "l", LlamaTokenizer, {"legacy": False}),
        "llama legacy": sentencepiece_pair(
            root / "o", LlamaTokenizer, {"legacy": True}, legacy=True
        ),
        "gemma": sentencepiece_pair(
            root / "g", GemmaTokenizer, {}, pad_token="<unk>", mask_token="<unk>"
        ),
    }
    for kind in (GPT2Tokenizer, Qwen2Tokenizer, CohereTokenizer):
        names = dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), SPECIALS[0])
        names |= dict.fromkeys(("cls_token", "sep_token", "mask_token"), SPECIALS[0])
        ours = write(
            root / kind.__name__,
            {
                "tokenizer_class": kind.__name__,
                "bos_token": SPECIALS[0],
                "added_tokens_decoder": {
                    str(i): {"content": text, "special": True} for i, text in enumerate(SPECIALS)
                },
            },
            vocab__json=json.dumps(model["vocab"]),
            merges__txt=merges,
        )
        merged = [tuple(merge) for merge in model["merges"]]
        theirs: Any = kind(vocab=model["vocab"], merges=merged, **names)
        theirs.add_tokens(SPECIALS, special_tokens=True)
        found[kind.__name__] = ours, theirs
    return found


NAMES = ("llama", "llama legacy", "gemma", "GPT2Tokenizer", "Qwen2Tokenizer", "CohereTokenizer")


@pytest.mark.parametrize("name", NAMES)
@given(text=TEXTS, specials=st.booleans())
def test_as_transformers_encodes_and_decodes(
    name: str, text: str, specials: bool, pairs: dict[str, tuple[Tokenizer, Any]]
) -> None:
    ours, theirs = pairs[name]
    if specials:
        text = f"{text}{ADDED}{text}<user> {SPECIALS[0]}"
    wanted = theirs.encode(text, add_special_tokens=False, split_special_tokens=not specials)
    assert ours.encode(text, special=specials, bos=False) == wanted
    decoded = theirs.decode(wanted, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert ours.decode(wanted) == decoded


def test_bos_of_a_bare_sentencepiece_model(pairs: dict[str, tuple[Tokenizer, Any]]) -> None:
    assert pairs["llama"][0].add_bos
    assert not pairs["GPT2Tokenizer"][0].add_bos


def test_the_dummy_prefix_is_the_files_own(tmp_path: Path) -> None:
    config = {**LLAMA, "tokenizer_class": "LlamaTokenizer", "legacy": True}
    without = write(tmp_path / "a", config, tokenizer__model=model_file(dummy_prefix=False))
    assert without.decode(without.encode(" the", bos=False)) == " the"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (model_file(kind=1), "unigram"),
        (model_file(table=b"abc"), "table of its own"),
        (b"", "no pieces"),
        (model_file()[:1000], "ends within"),
        (b"\x80" * 20, "without an end"),
        (field(1, 3), "number where text"),
        (field(1, field(1, b"\xff")), "not a SentencePiece"),
        (b"\x03", "wire type 3"),
    ],
)
def test_bad_models_are_named(tmp_path: Path, content: bytes, named: str) -> None:
    with pytest.raises(TokenizerError, match=named) as caught:
        write(tmp_path, LLAMA, tokenizer__model=content)
    assert "tokenizer.model" in str(caught.value.where)


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(TokenizerError):
        read_sentencepiece(data, "x")


@pytest.mark.parametrize(
    ("config", "vocabulary", "merges", "named"),
    [
        ({"tokenizer_class": "BertTokenizer"}, '{"a": 0}', "", "unknown way"),
        ({}, '{"a": "b"}', "", "whole numbers"),
        ({}, '{"a": 0, "b": 1}', "a b c", "two tokens"),
        ({}, "[]", "", "JSON object"),
        ({"added_tokens_decoder": {"x": {"content": "y"}}}, '{"a": 0}', "", "malformed"),
        ({"added_tokens_decoder": {"1": "y"}}, '{"a": 0}', "", "malformed"),
    ],
)
def test_bad_older_files_are_named(
    tmp_path: Path, config: dict[str, Any], vocabulary: str, merges: str, named: str
) -> None:
    with pytest.raises(TokenizerError, match=named):
        write(tmp_path, config, vocab__json=vocabulary, merges__txt=merges)
