"""What a tokenizer is made of, as one JSON text that a warm start reads back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

from headrace.errors import TokenizerError

VERSION = 1


@dataclass(frozen=True, slots=True)
class TokenizerSpec:
    """Everything between text and tokens.

    Attributes:
        definition: a whole tokenizer.json, as the `tokenizers` library reads it.
        byte_level: tokens spell bytes in GPT-2's alphabet; if not, they are SentencePiece's, with
            "▁" for a space and "<0x0A>" for a byte.
        strip_prefix_space: decoded text loses one leading space, which encoding had put there.
        add_bos: a prompt without a chat template starts with `bos_id`.
        stop_ids: tokens that end an answer, sorted.
        special_tokens: what a chat template knows by name, such as bos_token.
    """

    definition: str
    byte_level: bool
    strip_prefix_space: bool
    bos_id: int | None
    eos_id: int | None
    add_bos: bool
    stop_ids: tuple[int, ...]
    chat_template: str | None
    special_tokens: Mapping[str, str]

    def to_json(self) -> str:
        """One self-contained JSON text."""
        return json.dumps({"version": VERSION, **asdict(self)}, ensure_ascii=False)

    @staticmethod
    def from_json(text: str) -> TokenizerSpec:
        """Read what `to_json` wrote.

        Raises:
            TokenizerError: the text is something else.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            if fields.pop("version") != VERSION:
                raise TokenizerError("a saved tokenizer is of another version of headrace")
            fields["stop_ids"] = tuple(fields["stop_ids"])
            return TokenizerSpec(**fields)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise TokenizerError(f"a saved tokenizer cannot be read: {error}") from error


def parse_object(text: str, *, where: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        TokenizerError: the text is no JSON, or no object.
    """
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TokenizerError(f"not valid JSON: {error}", where=where) from error
    if not isinstance(value, dict):
        raise TokenizerError("a JSON object is needed", where=where)
    return cast("dict[str, Any]", value)
