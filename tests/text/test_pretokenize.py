"""How each name cuts text into words: as published expressions do on texts that tell them apart.

The words were found with llama.cpp's own tokenizer on a vocabulary trained without cuts, where its
expressions are the published ones.
"""

from __future__ import annotations

import json

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from headrace.text.pretokenize import WORD_SPLITS

TEXT = "I'M 1234 x²!\n\n  y"
CUTS = {
    "gpt-2": ["I", "'", "M", " 1234", " x", "²", "!", "\n\n ", " y"],
    "smollm": ["I", "'", "M", " ", "1", "2", "3", "4", " x", "²", "!", "\n\n ", " y"],
    "llama-bpe": ["I", "'M", " ", "123", "4", " x", "²", "!\n\n", " ", " y"],
    "qwen2": ["I", "'M", " ", "1", "2", "3", "4", " x", "²", "!\n\n", " ", " y"],
    "gpt-4o": ["I'M", " ", "123", "4", " x", "²", "!\n\n", " ", " y"],
    "tekken": ["I", "'M", " ", "1", "2", "3", "4", " x", "²", "!\n\n", " ", " y"],
    "deepseek-v3": ["I", "'M", " ", "123", "4", " x", "²", "!\n\n", " ", " y"],
    "falcon": ["I", "'", "M", " ", "123", "4", " x", "²", "!", "\n\n ", " y"],
    "default": ["I", "'", "M", " ", "123", "4", " x", "²", "!", "\n\n ", " y"],
    "seed-coder": ["I", "'M", " ", "1", "2", "3", "4", " x", "²", "!", "\n\n", " ", " y"],
    "bloom": ["I'M", " 1234", " x²", "!\n\n ", " y"],
    "ufakzeka": ["I", "'M", " ", "1", "2", "3", "4", " x", "²", "!\n\n", " ", " y"],
}


def words(name: str, text: str) -> list[str]:
    definition = json.loads(Tokenizer(models.BPE()).to_str())
    definition["pre_tokenizer"] = WORD_SPLITS[name].to_json()
    cut = Tokenizer.from_str(json.dumps(definition)).pre_tokenizer.pre_tokenize_str(text)
    return [text[begin:end] for _, (begin, end) in cut]


@pytest.mark.parametrize("name", CUTS)
def test_words(name: str) -> None:
    assert words(name, TEXT) == CUTS[name]


@pytest.mark.parametrize("name", WORD_SPLITS)
def test_nothing_is_lost(name: str) -> None:
    text = "Größe naïve 水は低き 🎉 👩‍👩‍👧 it's 12,345.67\r\n\t \u3000x  \u0000"
    assert "".join(words(name, text)) == text


def test_every_expression_is_understood() -> None:
    for split in WORD_SPLITS.values():
        for expression in split.splits:
            pre_tokenizers.Split(Regex(expression), "isolated")
