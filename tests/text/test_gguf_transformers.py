"""Vocabularies of GGUF files against transformers' classes with the same vocabulary."""

from __future__ import annotations

import json
from functools import cache
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

from headrace.text import Tokenizer
from tests.text.test_slow_files import LLAMA, TEXTS, pieces
from tests.text.vocabularies import NORMAL, SPECIALS, byte_level, byte_level_metadata

BYTE_LEVEL = {"gpt-2": GPT2Tokenizer, "qwen2": Qwen2Tokenizer, "command-r": CohereTokenizer}
NAMES = (
    *("bos_token", "eos_token", "unk_token", "pad_token"),
    *("cls_token", "sep_token", "mask_token"),
)


@cache
def byte_level_pair(name: str) -> tuple[Tokenizer, Any]:
    model = json.loads(byte_level().to_str())["model"]
    theirs: Any = BYTE_LEVEL[name](
        vocab=model["vocab"],
        merges=[tuple(merge) for merge in model["merges"]],
        **dict.fromkeys(NAMES, SPECIALS[0]),
    )
    theirs.add_tokens(SPECIALS, special_tokens=True)
    return Tokenizer.from_gguf({**byte_level_metadata(), "tokenizer.ggml.pre": name}), theirs


@cache
def sentencepiece_pair(architecture: str) -> tuple[Tokenizer, Any]:
    tokens, types = [piece for piece, _ in pieces()], [kind for _, kind in pieces()]
    scores = [-float(index) for index in range(len(tokens))]
    ours = Tokenizer.from_gguf(
        {
            "general.architecture": architecture,
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": types,
            "tokenizer.ggml.scores": scores if architecture == "llama" else [0.0] * len(tokens),
            "tokenizer.ggml.add_space_prefix": architecture == "llama",
            "tokenizer.ggml.unknown_token_id": 0,
        }
    )
    vocabulary = {token: index for index, token in enumerate(tokens)}
    whole = {token for token, kind in pieces() if kind != NORMAL}
    merges = generate_merges(vocabulary, dict(zip(tokens, scores, strict=True)))
    merges = [merge for merge in merges if not whole & {*merge, "".join(merge)}]
    settings: dict[str, Any] = {"vocab": vocabulary, "merges": merges, **LLAMA}
    if architecture == "llama":
        theirs: Any = LlamaTokenizer(**settings, legacy=True)
    else:
        theirs = GemmaTokenizer(**settings, pad_token="<unk>", mask_token="<unk>")
    theirs.add_tokens(["<user>"])
    return ours, theirs


def assert_alike(ours: Tokenizer, theirs: Any, text: str, specials: bool) -> None:
    wanted = theirs.encode(text, add_special_tokens=False, split_special_tokens=not specials)
    assert ours.encode(text, special=specials, bos=False) == wanted
    decoded = theirs.decode(wanted, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert ours.decode(wanted) == decoded


@pytest.mark.parametrize("name", BYTE_LEVEL)
@given(text=TEXTS, specials=st.booleans())
def test_byte_level(name: str, text: str, specials: bool) -> None:
    assert_alike(*byte_level_pair(name), f"{text}{SPECIALS[1]}{text}", specials)


@given(text=TEXTS, specials=st.booleans())
def test_gemma(text: str, specials: bool) -> None:
    assert_alike(*sentencepiece_pair("gemma3"), f"{text}</s>{text}<user>", specials)


@given(text=TEXTS, specials=st.booleans())
def test_llama(text: str, specials: bool) -> None:
    """Where a text begins with a space, Llama's own file puts another one in front, and so do we;
    transformers' class does not."""
    apart = f"x{text}</s>x{text}<user>x{text}"
    assert_alike(*sentencepiece_pair("llama"), apart, specials)
