"""What requests call a model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from headrace.errors import ConfigurationError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}")


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model and its name."""

    name: str
    source: str

    @staticmethod
    def parse(text: str) -> NamedModel:
        """NAME=MODEL, or MODEL: a file or directory goes by its own name, all else as it is said.

        Raises:
            ConfigurationError: the name has other than letters, digits and ._:/@+-
        """
        before, equals, after = text.partition("=")
        if equals and not Path(text).exists():
            return NamedModel(_checked(before, text), after)
        return NamedModel(_checked(_own_name(text), text), text)


def _own_name(source: str) -> str:
    path = Path(source).expanduser()
    if path.suffix == ".gguf" and ":" not in source:
        return path.stem
    return path.resolve().name if path.exists() else source


def _checked(name: str, text: str) -> str:
    if NAME.fullmatch(name) is None:
        raise ConfigurationError(
            f"'{name}' is no name for a model: letters, digits and ._:/@+- make one",
            where=f"MODEL {text}",
            hint="give it one: name=MODEL",
        )
    return name
