"""A tokenizer.json for directories that have older files: tokenizer.model, vocab.json."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from headrace.errors import TokenizerError
from headrace.text import definitions
from headrace.text.definitions import AddedToken, PrefixSpace
from headrace.text.metadata import CONTROL, NORMAL, UNKNOWN, USER_DEFINED
from headrace.text.pretokenize import WORD_SPLITS, WordSplit
from headrace.text.sentencepiece_model import read_sentencepiece
from headrace.text.spec import parse_object

SENTENCEPIECE_FILE, VOCABULARY_FILE, MERGES_FILE = "tokenizer.model", "vocab.json", "merges.txt"
#: How vocabularies of transformers' classes cut text into words.
SPLIT_OF_CLASS = {
    "GPT2Tokenizer": "gpt-2",
    "CodeGenTokenizer": "gpt-2",
    "GPTNeoXTokenizer": "olmo",
    "Qwen2Tokenizer": "qwen2",
    "CohereTokenizer": "command-r",
}
#: Where the class decides and not the file: no "▁" in front.
NO_PREFIX_CLASSES = ("GemmaTokenizer",)


def slow_definition(path: Path, config: Mapping[str, Any], added: Mapping[str, Any]) -> str | None:
    """The text of a tokenizer.json with the same meaning; None if there are no such files.

    Args:
        config: of tokenizer_config.json.
        added: of added_tokens.json: ids by text.

    Raises:
        TokenizerError: a file is malformed, or of a kind that is not supported.
    """
    if (path / SENTENCEPIECE_FILE).is_file():
        return _sentencepiece(path / SENTENCEPIECE_FILE, config, added)
    if (path / VOCABULARY_FILE).is_file() and (path / MERGES_FILE).is_file():
        return _byte_level(path, config, added)
    return None


def only_sentencepiece(path: Path) -> bool:
    """Whether a directory's tokenizer is a tokenizer.model alone."""
    return not (path / "tokenizer.json").exists() and (path / SENTENCEPIECE_FILE).is_file()


def _sentencepiece(path: Path, config: Mapping[str, Any], added: Mapping[str, Any]) -> str:
    model = read_sentencepiece(_bytes(path), str(path))
    own = {
        piece: AddedToken(index, piece, special=kind != USER_DEFINED)
        for index, (piece, kind) in enumerate(zip(model.pieces, model.types, strict=True))
        if kind in (UNKNOWN, CONTROL, USER_DEFINED)
    }
    return definitions.sentencepiece_bpe(
        model.pieces,
        {piece: -float(index) for index, piece in enumerate(model.pieces)},
        (piece for piece, kind in zip(model.pieces, model.types, strict=True) if kind != NORMAL),
        model.pieces[model.unknown],
        _prefix(config, model.add_dummy_prefix),
        {**own, **_configured(config, added, str(path))}.values(),
    )


def _prefix(config: Mapping[str, Any], usual: bool) -> PrefixSpace:
    said = config.get("add_prefix_space")
    if _class(config) in NO_PREFIX_CLASSES:
        return "never"
    if not (said if isinstance(said, bool) else usual):
        return "never"
    return "always" if config.get("legacy") is True else "first"


def _byte_level(path: Path, config: Mapping[str, Any], added: Mapping[str, Any]) -> str:
    where = str(path / VOCABULARY_FILE)
    vocabulary = parse_object(_text(path / VOCABULARY_FILE), where=where)
    if not all(isinstance(index, int) for index in vocabulary.values()):
        raise TokenizerError("the vocabulary's ids are not whole numbers", where=where)
    lines = _text(path / MERGES_FILE).splitlines()
    merges = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
    if not all(len(merge) == 2 for merge in merges):
        raise TokenizerError("a line is not two tokens", where=str(path / MERGES_FILE))
    return definitions.byte_level(
        vocabulary,
        cast("list[tuple[str, str]]", merges),
        _split(config, where),
        _configured(config, added, where).values(),
    )


def _split(config: Mapping[str, Any], where: str) -> WordSplit:
    name = SPLIT_OF_CLASS.get(_class(config))
    if name is None:
        raise TokenizerError(
            f"a vocabulary of the class {_class(config)!r} cuts text in an unknown way",
            where=where,
            hint="save it as tokenizer.json: "
            "AutoTokenizer.from_pretrained(MODEL).save_pretrained(DIRECTORY); "
            f"known: {', '.join(SPLIT_OF_CLASS)}",
        )
    prefix = config.get("add_prefix_space") is True
    return dataclasses.replace(WORD_SPLITS[name], prefix_space=prefix)


def _class(config: Mapping[str, Any]) -> str:
    name = config.get("tokenizer_class")
    return name.removesuffix("Fast") if isinstance(name, str) else "GPT2Tokenizer"


def _configured(
    config: Mapping[str, Any], added: Mapping[str, Any], where: str
) -> dict[str, AddedToken]:
    """Tokens that tokenizer_config.json and added_tokens.json add, by their texts."""
    found: dict[str, AddedToken] = {}
    for content, index in added.items():
        if not isinstance(index, int):
            raise TokenizerError(f"the added token {content!r} has no id", where=where)
        found[content] = AddedToken(index, content, special=False)
    decoder = config.get("added_tokens_decoder")
    if isinstance(decoder, dict):
        for index, fields in cast("dict[str, Any]", decoder).items():
            token = _token(index, fields, where)
            found[token.content] = token
    return found


def _token(index: str, fields: Any, where: str) -> AddedToken:
    try:
        flags = {name: fields.get(name) is True for name in ("special", "lstrip", "rstrip")}
        content = fields["content"]
        if not isinstance(content, str):
            raise TypeError(content)
        return AddedToken(int(index), content, **flags)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TokenizerError(
            f"the token {index!r} of added_tokens_decoder is malformed", where=where
        ) from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TokenizerError(f"cannot read a tokenizer's file: {error}", where=str(path)) from error


def _text(path: Path) -> str:
    try:
        return _bytes(path).decode()
    except UnicodeDecodeError as error:
        raise TokenizerError(f"not UTF-8 text: {error}", where=str(path)) from error
