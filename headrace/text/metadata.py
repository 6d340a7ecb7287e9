"""The tokenizer's key-values of a GGUF file, checked as they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, cast

import numpy as np

from headrace.errors import TokenizerError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4  # `tokenizer.ggml.token_type`


@dataclass(frozen=True, slots=True)
class TokenizerMetadata:
    """Typed access to `tokenizer.ggml.*`; `where` names the file in errors."""

    values: Mapping[str, object]
    where: str

    def text(self, key: str) -> str | None:
        value = self.values.get(f"tokenizer.{key}")
        if value is not None and not isinstance(value, str):
            raise self.error(f"tokenizer.{key} is not a text")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self.values.get(f"tokenizer.ggml.{key}", default)
        if not isinstance(value, bool):
            raise self.error(f"tokenizer.ggml.{key} is not a bool")
        return value

    def token_id(self, key: str, tokens: Sequence[str]) -> int | None:
        value = self.values.get(f"tokenizer.ggml.{key}")
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < len(tokens):
            raise self.error(f"tokenizer.ggml.{key} is {value!r}, not one of {len(tokens)} tokens")
        return value

    def tokens(self) -> list[str]:
        tokens = self._texts("tokens")
        if not tokens:
            raise self.error("tokenizer.ggml.tokens is empty")
        if len(set(tokens)) != len(tokens):
            twice = next(token for token in tokens if tokens.count(token) > 1)
            raise self.error(f"token {twice!r} occurs twice in tokenizer.ggml.tokens")
        return tokens

    def types(self, count: int) -> list[int]:
        """Each token's type; all are normal when the file does not say."""
        if "tokenizer.ggml.token_type" not in self.values:
            return [NORMAL] * count
        types = self._numbers("token_type", count)
        if not all(isinstance(kind, int) for kind in types):
            raise self.error("tokenizer.ggml.token_type is not a list of whole numbers")
        return cast("list[int]", types)

    def scores(self, count: int) -> list[float]:
        return self._numbers("scores", count)

    def merges(self) -> list[tuple[str, str]]:
        merges: list[tuple[str, str]] = []
        for merge in self._texts("merges"):
            start, _, right = merge[1:].partition(" ")  # a token may itself start with a space
            left = merge[:1] + start
            if not left or not right:
                raise self.error(f"tokenizer.ggml.merges holds {merge!r}, which joins nothing")
            merges.append((left, right))
        return merges

    def error(self, what: str, hint: str | None = None) -> TokenizerError:
        return TokenizerError(what, where=self.where, hint=hint)

    def _texts(self, key: str) -> list[str]:
        value = self._sequence(key)
        if not all(isinstance(entry, str) for entry in value):
            raise self.error(f"tokenizer.ggml.{key} is not a list of texts")
        return cast("list[str]", value)

    def _numbers(self, key: str, count: int) -> list[float]:
        value = self._sequence(key)
        if not all(isinstance(entry, int | float) and isfinite(entry) for entry in value):
            raise self.error(f"tokenizer.ggml.{key} is not a list of finite numbers")
        if len(value) != count:
            raise self.error(f"tokenizer.ggml.{key} has {len(value)} entries for {count} tokens")
        return cast("list[float]", value)

    def _sequence(self, key: str) -> list[Any]:
        value = self.values.get(f"tokenizer.ggml.{key}")
        if isinstance(value, np.ndarray):
            return cast("list[Any]", value.tolist())
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            return list(cast("Sequence[Any]", value))
        raise self.error(f"tokenizer.ggml.{key} is missing or is not a list")
