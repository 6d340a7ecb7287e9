"""Tokenizers built from GGUF key-values."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import TokenizerError
from headrace.text import Tokenizer
from headrace.text.sentencepiece import merges_by_rank
from tests.text.vocabularies import (
    CORPUS,
    USER_DEFINED,
    byte_level,
    byte_level_metadata,
    sentencepiece_metadata,
    sentencepiece_pieces,
)

BYTE_LEVEL = Tokenizer.from_gguf(byte_level_metadata())
SENTENCEPIECE = Tokenizer.from_gguf(sentencepiece_metadata())
TEXTS = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="the wheel\n ▁<>|0x1½é水🎉\u200d", max_size=60),
    st.sampled_from(CORPUS),
)


@given(TEXTS)
def test_byte_level_ids_are_those_of_the_tokenizer_the_file_was_made_of(text: str) -> None:
    assert BYTE_LEVEL.encode(text, special=True) == byte_level().encode(text).ids


@given(TEXTS)
def test_byte_level_round_trips(text: str) -> None:
    assert BYTE_LEVEL.decode(BYTE_LEVEL.encode(text)) == text


@given(TEXTS.filter(lambda text: "▁" not in text))
def test_sentencepiece_round_trips(text: str) -> None:
    ids = SENTENCEPIECE.encode(text)
    assert ids[0] == SENTENCEPIECE.bos_id
    assert SENTENCEPIECE.decode(ids) == text


def join_best_neighbours(text: str, score: dict[str, float]) -> list[str]:
    """SentencePiece's own procedure: join the neighbours with the best union, leftmost first."""
    pieces = list(text)
    while True:
        unions = [left + right for left, right in pairwise(pieces)]
        known = [(score[union], -at) for at, union in enumerate(unions) if union in score]
        if not known:
            return pieces
        at = -max(known)[1]
        pieces[at : at + 2] = [unions[at]]


@given(st.text(alphabet="".join(sorted(set("".join(CORPUS)) - set("\n\t\r"))), max_size=40))
def test_sentencepiece_ids_are_those_of_its_own_procedure(text: str) -> None:
    tokens = sentencepiece_metadata()["tokenizer.ggml.tokens"]
    assert isinstance(tokens, list)
    score = {piece: -float(at) for at, piece in enumerate(sentencepiece_pieces())}
    wanted = join_best_neighbours("▁" + text.replace(" ", "▁"), score) if text else []
    ids = SENTENCEPIECE.encode(text, bos=False)
    assert [tokens[at] for at in ids if not tokens[at].startswith("<0x")] == [
        piece for piece in wanted if piece in score
    ]


@given(st.lists(st.text(alphabet="ab▁", min_size=1, max_size=5), unique=True, max_size=20))
def test_merges_are_those_transformers_derives(tokens: list[str]) -> None:
    from transformers.convert_slow_tokenizer import generate_merges

    vocabulary = {token: at for at, token in enumerate(tokens)}
    ranks = {token: -float(at // 2) for at, token in enumerate(tokens)}
    assert merges_by_rank(tokens, ranks, set()) == generate_merges(vocabulary, ranks)


def test_special_tokens_are_text_unless_asked() -> None:
    text = "<|im_start|>user"
    assert BYTE_LEVEL.encode(text, special=True)[0] == 1
    plain = BYTE_LEVEL.encode(text)
    assert 1 not in plain
    assert BYTE_LEVEL.decode(plain) == text


def test_user_defined_tokens_are_always_themselves() -> None:
    metadata = byte_level_metadata()
    tokens, types = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    assert isinstance(tokens, list)
    assert isinstance(types, list)
    changed = {
        "tokenizer.ggml.tokens": [*tokens, "<think>"],
        "tokenizer.ggml.token_type": [*types, USER_DEFINED],
    }
    tokenizer = Tokenizer.from_gguf({**metadata, **changed})
    ids = tokenizer.encode("a<think>b")
    assert len(tokens) in ids
    assert tokenizer.decode(ids) == "a<think>b"


def test_bos_follows_the_file_and_the_callers_wish() -> None:
    assert BYTE_LEVEL.encode("a", bos=True)[0] == 1
    assert BYTE_LEVEL.encode("a") == BYTE_LEVEL.encode("a", bos=True)[1:]
    assert SENTENCEPIECE.encode("a", bos=False) == SENTENCEPIECE.encode("a")[1:]
    without = {k: v for k, v in byte_level_metadata().items() if "bos" not in k}
    with pytest.raises(TokenizerError, match="no BOS"):
        Tokenizer.from_gguf(without).encode("a", bos=True)


def test_stops_are_the_end_of_turn_and_of_document() -> None:
    assert BYTE_LEVEL.stop_ids == (0, 2)
    assert SENTENCEPIECE.stop_ids == (2,)


def test_no_prefix_space_when_the_file_says_so() -> None:
    metadata = {**sentencepiece_metadata(), "tokenizer.ggml.add_space_prefix": False}
    tokenizer = Tokenizer.from_gguf(metadata)
    assert tokenizer.decode(tokenizer.encode(" the", bos=False)) == " the"
    assert tokenizer.encode("the") != SENTENCEPIECE.encode("the")


def test_phi3s_control_tokens_swallow_the_space_behind_them() -> None:
    metadata = {**sentencepiece_metadata(), "general.architecture": "phi3"}
    tokenizer = Tokenizer.from_gguf(metadata)
    closed, opened = (
        tokenizer.encode(f"{token}\n", special=True, bos=False) for token in ("</s>", "<s>")
    )
    assert closed == [2]
    assert len(opened) > 1
    assert len(SENTENCEPIECE.encode("</s>\n", special=True, bos=False)) > 1


def test_numbers_may_come_as_arrays() -> None:
    metadata = sentencepiece_metadata()
    arrays = {
        "tokenizer.ggml.token_type": np.array(metadata["tokenizer.ggml.token_type"], np.int32),
        "tokenizer.ggml.scores": np.array(metadata["tokenizer.ggml.scores"], np.float32),
    }
    tokenizer = Tokenizer.from_gguf({**metadata, **arrays})
    assert tokenizer.encode(CORPUS[0]) == SENTENCEPIECE.encode(CORPUS[0])


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("ggml.model", None, "no tokenizer"),
        ("ggml.model", "bert", "'bert'"),
        ("ggml.model", 3, "not a text"),
        ("ggml.pre", None, "cuts text into words"),
        ("ggml.pre", "nobody-knows", "nobody-knows"),
        ("ggml.tokens", None, "missing"),
        ("ggml.tokens", [], "empty"),
        ("ggml.tokens", [1, 2], "list of texts"),
        ("ggml.tokens", ["a", "b", "a"], "'a' occurs twice"),
        ("ggml.token_type", [1, 1], "entries for"),
        ("ggml.token_type", ["x"], "list of finite numbers"),
        ("ggml.token_type", [float("nan")], "list of finite numbers"),
        ("ggml.merges", None, "missing"),
        ("ggml.merges", ["nospace"], "joins nothing"),
        ("ggml.merges", ["not known"], "cannot be built"),
        ("ggml.bos_token_id", 10**9, "not one of"),
        ("ggml.bos_token_id", -1, "not one of"),
        ("ggml.eos_token_id", "two", "not one of"),
        ("ggml.add_bos_token", "yes", "not a bool"),
        ("chat_template", 7, "not a text"),
    ],
)
def test_bad_metadata_is_an_error_that_names_it(key: str, value: Any, named: str) -> None:
    metadata = {**byte_level_metadata(), f"tokenizer.{key}": value}
    if value is None:
        del metadata[f"tokenizer.{key}"]
    with pytest.raises(TokenizerError, match=named) as caught:
        Tokenizer.from_gguf(metadata, where="model.gguf")
    assert caught.value.where == "model.gguf"


def test_sentencepiece_needs_scores() -> None:
    metadata = sentencepiece_metadata()
    del metadata["tokenizer.ggml.scores"]
    with pytest.raises(TokenizerError, match="scores"):
        Tokenizer.from_gguf(metadata)


def test_token_types_are_whole() -> None:
    metadata = byte_level_metadata()
    tokens = metadata["tokenizer.ggml.tokens"]
    assert isinstance(tokens, list)
    with pytest.raises(TokenizerError, match="whole numbers"):
        Tokenizer.from_gguf({**metadata, "tokenizer.ggml.token_type": [1.5] * len(tokens)})


DAMAGE = st.one_of(
    st.none(),
    st.integers(-(2**40), 2**40),
    st.text(max_size=5),
    st.booleans(),
    st.floats(),
    st.lists(st.integers(-1, 7), max_size=3),
    st.lists(st.sampled_from(["", "\0", "▁", "<0x0A>", "a b", "Ġ", "<|im_end|>"]), max_size=9),
)


@given(
    st.sampled_from([byte_level_metadata(), sentencepiece_metadata()]),
    st.dictionaries(st.integers(0, 9), DAMAGE, min_size=1, max_size=4),
    st.randoms(use_true_random=False),
)
def test_damaged_metadata_is_read_or_refused(
    metadata: dict[str, object], damage: dict[int, object], random: Random
) -> None:
    """Whole values are replaced, and entries of lists are dropped, doubled or exchanged."""
    changed = dict(metadata)
    keys = sorted(key for key in metadata if key.startswith("tokenizer"))
    for at, value in damage.items():
        key = keys[at % len(keys)]
        old = changed[key]
        if isinstance(old, list) and isinstance(value, list) and old:
            start = random.randrange(len(old))
            value = [*old[:start], *value, *old[start + random.randrange(2) * len(value) :]]
        changed[key] = value
    try:
        tokenizer = Tokenizer.from_gguf(changed)
        tokenizer.decode(tokenizer.encode(CORPUS[2], special=True, bos=False))
    except TokenizerError:
        pass
