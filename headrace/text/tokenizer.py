"""Text to tokens and back."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.errors import RequestError, TokenizerError
from headrace.text.alphabet import BYTE_OF_LETTER
from headrace.text.backend import load_backend
from headrace.text.spec import TokenizerSpec
from headrace.text.stream import TextStream
from headrace.text.template import ChatTemplate, Message

if TYPE_CHECKING:
    from headrace.checkpoint.tensors import Checkpoint

BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Tokenizer:
    """A model's tokenizer, its special tokens and its chat template. Safe to share by threads."""

    def __init__(self, spec: TokenizerSpec, *, where: str = "a saved tokenizer") -> None:
        self._spec = spec
        self._backend = load_backend(spec.definition, where=where)
        self._lock = threading.Lock()
        self._added = self._backend.get_added_tokens_decoder()
        self._plain_bytes: dict[int, bytes] = {}

    @staticmethod
    def from_gguf(metadata: Mapping[str, object], *, where: str = "GGUF metadata") -> Tokenizer:
        """The tokenizer in a GGUF file's key-values; `where` names the file in errors.

        Raises:
            TokenizerError: there is none, or it is malformed or of an unsupported kind.
        """
        from headrace.text.from_gguf import spec_from_gguf

        return Tokenizer(spec_from_gguf(metadata, where), where=where)

    @staticmethod
    def from_directory(path: Path) -> Tokenizer:
        """The tokenizer in a Hugging Face directory (tokenizer.json and its companions).

        Raises:
            TokenizerError: there is none, or it is malformed or of an unsupported kind.
        """
        from headrace.text.from_directory import spec_from_directory

        return Tokenizer(spec_from_directory(path), where=str(path))

    @staticmethod
    def from_checkpoint(checkpoint: Checkpoint) -> Tokenizer:
        """The tokenizer of an opened checkpoint; raises as `from_gguf` and `from_directory`."""
        if checkpoint.path.is_dir():
            return Tokenizer.from_directory(checkpoint.path)
        return Tokenizer.from_gguf(checkpoint.metadata, where=str(checkpoint.path))

    @staticmethod
    def from_json(text: str) -> Tokenizer:
        """Read what `to_json` wrote.

        Raises:
            TokenizerError: the text is something else.
        """
        return Tokenizer(TokenizerSpec.from_json(text))

    def to_json(self) -> str:
        """Everything this tokenizer is, as one JSON text."""
        return self._spec.to_json()

    @property
    def bos_id(self) -> int | None:
        return self._spec.bos_id

    @property
    def eos_id(self) -> int | None:
        return self._spec.eos_id

    @property
    def add_bos(self) -> bool:
        """Whether a prompt without a chat template starts with the BOS token."""
        return self._spec.add_bos

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Tokens that end an answer, sorted."""
        return self._spec.stop_ids

    @property
    def specials(self) -> dict[str, int]:
        """Ids of special tokens by their text: `decode` leaves them out."""
        return {added.content: id for id, added in self._added.items() if added.special}

    @property
    def size(self) -> int:
        """Tokens in the vocabulary; a model's logits may be wider."""
        return self._backend.get_vocab_size(with_added_tokens=True)

    @property
    def chat_template(self) -> ChatTemplate:
        """The model's chat template.

        Raises:
            TemplateError: the model has none.
        """
        return ChatTemplate.of(self._spec.chat_template, self._spec.special_tokens)

    @property
    def has_chat_template(self) -> bool:
        return self._spec.chat_template is not None

    def encode(self, text: str, *, special: bool = False, bos: bool | None = None) -> list[int]:
        """Tokens of a text.

        Args:
            special: read "<|im_end|>" and its like as the special token, not as plain text.
            bos: put the BOS token in front; None does what the model is used to.

        Raises:
            RequestError: the text holds a lone surrogate, which is not Unicode text.
            TokenizerError: `bos` is asked of a vocabulary that has no BOS token.
        """
        _require_unicode(text)
        with self._lock:
            self._backend.encode_special_tokens = not special
            ids = self._backend.encode(text, add_special_tokens=False).ids
        return [*self._bos(self.add_bos if bos is None else bos), *ids]

    def encode_chat(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = True,
        **variables: object,
    ) -> list[int]:
        """Tokens of a conversation as the chat template writes it, ready for the answer.

        The template itself writes the BOS token where the model wants one; arguments as in
        `ChatTemplate.render`.

        Raises:
            TemplateError: the model has no chat template, or it fails on these messages.
            RequestError: a message holds a lone surrogate.
        """
        text = self.chat_template.render(
            messages, add_generation_prompt=add_generation_prompt, **variables
        )
        return self.encode(text, special=True, bos=False)

    def decode(self, ids: Iterable[int], *, special: bool = False) -> str:
        """Text of tokens; bytes that are no UTF-8 become U+FFFD, unknown ids nothing.

        Args:
            special: write special tokens out instead of leaving them out.

        Raises:
            TokenizerError: an id is negative.
        """
        stream = self.stream(special=special)
        return "".join([*map(stream.push, ids), stream.flush()])

    def stream(self, *, special: bool = False) -> TextStream:
        """A decoder that takes one token at a time; `special` as in `decode`."""
        token_bytes = self.token_bytes if special else self._token_bytes_without_specials
        return TextStream(token_bytes, strip_prefix_space=self._spec.strip_prefix_space)

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token stands for; none for an id past the vocabulary.

        Models pad their logits to round sizes, so such an id can be drawn.

        Raises:
            TokenizerError: the id is negative.
        """
        if token_id < 0:
            raise TokenizerError(f"{token_id} is not a token")
        if token_id in self._added:
            return self._added[token_id].content.encode()
        found = self._plain_bytes.get(token_id)
        if found is None:
            text = self._backend.id_to_token(token_id) or ""
            spell = _byte_level_bytes if self._spec.byte_level else _sentencepiece_bytes
            found = self._plain_bytes[token_id] = spell(text)
        return found

    def _token_bytes_without_specials(self, token_id: int) -> bytes:
        added = self._added.get(token_id)
        return b"" if added is not None and added.special else self.token_bytes(token_id)

    def _bos(self, wanted: bool) -> list[int]:
        if not wanted:
            return []
        if self.bos_id is None:
            raise TokenizerError("the vocabulary has no BOS token", hint="encode with bos=False")
        return [self.bos_id]


def _byte_level_bytes(text: str) -> bytes:
    letters = [BYTE_OF_LETTER.get(letter) for letter in text]
    known = [letter for letter in letters if letter is not None]
    return bytes(known) if len(known) == len(letters) else text.encode()


def _sentencepiece_bytes(text: str) -> bytes:
    match = BYTE_TOKEN.fullmatch(text)
    return bytes([int(match[1], 16)]) if match else text.replace("▁", " ").encode()


def _require_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RequestError(
            "the text is not valid Unicode: it holds a lone surrogate",
            where=f"character {error.start}",
        ) from error
