"""A tokenizer saved and read back."""

from __future__ import annotations

import json

import pytest

from headrace.errors import TokenizerError
from headrace.text import Tokenizer
from tests.text.vocabularies import CORPUS, byte_level_metadata, sentencepiece_metadata


@pytest.mark.parametrize("metadata", [byte_level_metadata(), sentencepiece_metadata()])
def test_a_saved_tokenizer_is_the_same(metadata: dict[str, object]) -> None:
    before = Tokenizer.from_gguf(metadata)
    after = Tokenizer.from_json(before.to_json())
    assert after.to_json() == before.to_json()
    assert after.stop_ids == before.stop_ids
    for text in CORPUS:
        assert after.encode(text) == before.encode(text)
        assert after.decode(after.encode(text)) == text


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"version": 99}', '{"version": 1, "stop_ids": []}']
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(TokenizerError):
        Tokenizer.from_json(text)


def test_a_damaged_definition_is_refused() -> None:
    fields = json.loads(Tokenizer.from_gguf(byte_level_metadata()).to_json())
    with pytest.raises(TokenizerError, match="cannot be built"):
        Tokenizer.from_json(json.dumps({**fields, "definition": "{}"}))
