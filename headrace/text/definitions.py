"""Whole tokenizer.json texts, built of vocabularies as files hold them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from headrace.text import sentencepiece
from headrace.text.pretokenize import WordSplit

#: Where "▁" is put in front: of every text between special tokens ("each"; "always", unless there
#: is one), of the whole text unless there is one, nowhere.
PrefixSpace = Literal["each", "always", "first", "never"]


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token that stands for itself in text.

    Attributes:
        special: left out of decoded text, and plain text unless it is asked for.
        lstrip, rstrip: it swallows white space before, or behind, it.
    """

    id: int
    content: str
    special: bool
    lstrip: bool = False
    rstrip: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "content": self.content,
            "single_word": False,
            "lstrip": self.lstrip,
            "rstrip": self.rstrip,
            "normalized": False,
            "special": self.special,
        }


def byte_level(
    vocabulary: Mapping[str, int],
    merges: Sequence[tuple[str, str]],
    split: WordSplit,
    added: Iterable[AddedToken],
) -> str:
    """A byte-level BPE vocabulary."""
    decoder = {"add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    return _definition(
        added,
        normalizer={"type": "NFC"} if split.nfc else None,
        pre_tokenizer=split.to_json(),
        decoder={"type": "ByteLevel", **decoder},
        model=_bpe(vocabulary, merges, ignore_merges=split.whole_words),
    )


def sentencepiece_bpe(
    tokens: Sequence[str],
    ranks: Mapping[str, float],
    whole: Iterable[str],
    unknown: str | None,
    prefix: PrefixSpace,
    added: Iterable[AddedToken],
) -> str:
    """A SentencePiece vocabulary of the BPE kind, with bytes for what it has no token for.

    Args:
        ranks: preference of each token; higher is merged earlier.
        whole: tokens that never are part of a merge.
    """
    vocabulary = {token: index for index, token in enumerate(tokens)}
    merges = sentencepiece.merges_by_rank(tokens, ranks, set(whole))
    model = _bpe(vocabulary, merges, byte_fallback=True, fuse_unk=True)
    model["unk_token"] = unknown
    steps: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": sentencepiece.SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if prefix != "never":
        steps.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    by_metaspace = prefix in ("always", "first")
    return _definition(
        added,
        normalizer=None
        if by_metaspace
        else sentencepiece.normalizer(prefix_space=prefix == "each"),
        pre_tokenizer=_metaspace(prefix) if by_metaspace else None,
        decoder={"type": "Sequence", "decoders": steps},
        model=model,
    )


def _metaspace(scheme: str) -> dict[str, Any]:
    space = sentencepiece.SPACE
    return {"type": "Metaspace", "replacement": space, "prepend_scheme": scheme, "split": False}


def _bpe(
    vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]], **flags: bool
) -> dict[str, Any]:
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        **flags,
        "vocab": vocabulary,
        "merges": merges,
    }


def _definition(added: Iterable[AddedToken], **parts: Mapping[str, Any] | None) -> str:
    whole = {"version": "1.0", "truncation": None, "padding": None, "post_processor": None}
    listed = [token.to_json() for token in sorted(added, key=lambda token: token.id)]
    return json.dumps({**whole, "added_tokens": listed, **parts}, ensure_ascii=False)
