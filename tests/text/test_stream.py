"""Decoding: whole, and one token at a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import RequestError, TokenizerError
from headrace.text import Tokenizer
from tests.text.vocabularies import byte_level_metadata, sentencepiece_metadata

TOKENIZERS = {
    "byte level": Tokenizer.from_gguf(byte_level_metadata()),
    "SentencePiece": Tokenizer.from_gguf(sentencepiece_metadata()),
}
each_tokenizer = pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS.keys())


@each_tokenizer
@given(data=st.data(), special=st.booleans())
def test_pieces_joined_are_the_whole(
    tokenizer: Tokenizer, data: st.DataObject, special: bool
) -> None:
    ids = data.draw(st.lists(st.integers(0, tokenizer.size + 10), max_size=40))
    stream = tokenizer.stream(special=special)
    pieces = [*map(stream.push, ids), stream.flush()]
    assert "".join(pieces) == tokenizer.decode(ids, special=special)


@each_tokenizer
@given(text=st.text(alphabet="水🎉é👩‍👧 a", min_size=1, max_size=20))
def test_no_piece_holds_half_a_character(tokenizer: Tokenizer, text: str) -> None:
    stream = tokenizer.stream()
    pieces = [*map(stream.push, tokenizer.encode(text, bos=False)), stream.flush()]
    assert not any("\ufffd" in piece for piece in pieces)
    assert "".join(pieces) == text


def test_a_character_waits_for_its_last_byte() -> None:
    tokenizer = TOKENIZERS["SentencePiece"]
    stream = tokenizer.stream()
    raw = [3 + byte for byte in "🦊".encode()]
    assert [stream.push(token) for token in raw] == ["", "", "", "🦊"]


def test_an_unfinished_character_is_a_replacement_at_the_end() -> None:
    stream = TOKENIZERS["SentencePiece"].stream()
    assert stream.push(3 + 0xF0) == ""
    assert stream.flush() == "\ufffd"


def test_only_the_first_space_is_dropped() -> None:
    tokenizer = TOKENIZERS["SentencePiece"]
    ids = tokenizer.encode("the the", bos=False)
    stream = tokenizer.stream()
    assert "".join(map(stream.push, ids)) == "the the"


def test_special_tokens_show_when_asked() -> None:
    tokenizer = TOKENIZERS["byte level"]
    ids = tokenizer.encode("a<|im_end|>b", special=True)
    assert tokenizer.decode(ids) == "ab"
    assert tokenizer.decode(ids, special=True) == "a<|im_end|>b"


def test_a_negative_id_is_an_error_and_a_padded_one_is_nothing() -> None:
    tokenizer = TOKENIZERS["byte level"]
    with pytest.raises(TokenizerError):
        tokenizer.decode([-1])
    assert tokenizer.decode([tokenizer.size, 10**6]) == ""


def test_a_lone_surrogate_is_no_text() -> None:
    with pytest.raises(RequestError, match="Unicode") as caught:
        TOKENIZERS["byte level"].encode("ab\ud800")
    assert caught.value.where == "character 2"


def test_special_tokens_are_kept_where_they_are_wanted() -> None:
    tokenizer = TOKENIZERS["SentencePiece"]
    (content, kept), *_, (_, other) = tokenizer.specials.items()
    stream = tokenizer.stream(keep=[f"a {content} in a text"])
    assert stream.push(kept) + stream.push(other) == content
