"""Where settings come from: flags, environment variables, one TOML file."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace.errors import ConfigurationError

PREFIX = "HEADRACE_"
SEPARATORS = re.compile(r"[\s,]+")


@dataclass(frozen=True, slots=True)
class Given:
    """A value that somebody gave.

    text: it is written as text, whatever its type. where: who gave it.
    """

    value: object
    where: str
    text: bool = False


def from_flags(flags: Mapping[str, object]) -> dict[str, Given]:
    """What the command line says; flags that were not given are None."""
    return {
        name: Given(value, "MODEL" if name == "models" else f"--{_hyphens(name)}")
        for name, value in flags.items()
        if value is not None and value != ()
    }


def from_environment(
    environment: Mapping[str, str], names: Sequence[str], lists: Sequence[str]
) -> dict[str, Given]:
    """What HEADRACE_… variables say; an empty one says nothing, in lists blanks or commas part."""
    found: dict[str, Given] = {}
    for name in names:
        variable = f"{PREFIX}{name.upper()}"
        if text := environment.get(variable, "").strip():
            value = SEPARATORS.split(text) if name in lists else text
            found[name] = Given(value, f"environment variable {variable}", text=True)
    return found


def ignored_variables(environment: Mapping[str, str], names: Sequence[str]) -> list[str]:
    """Variables that look like settings and are none: there may be others' (HEADRACE_CACHE is)."""
    known = {f"{PREFIX}{name.upper()}" for name in (*names, "config", "cache")}
    return sorted(name for name in environment if name.startswith(PREFIX) and name not in known)


def from_file(path: Path, names: Sequence[str]) -> dict[str, Given]:
    """What a TOML file says: the flags' names, one a line.

    Raises:
        ConfigurationError: it cannot be read, or has a key that is no setting.
    """
    try:
        text = path.read_text("utf-8")
        values = tomllib.loads(text)
    except OSError as error:
        raise ConfigurationError(
            f"the file of settings cannot be read: {error.strerror}", where=str(path)
        ) from error
    except ValueError as error:  # TOML's, or UTF-8's
        raise ConfigurationError(f"no TOML: {error}", where=str(path)) from error
    known = {_hyphens(name): name for name in names}
    for key in values:
        if key not in known:
            raise _unknown(key, _place(path, text, key), list(known))
    return {known[key]: Given(value, _place(path, text, key)) for key, value in values.items()}


def _hyphens(name: str) -> str:
    return name.replace("_", "-")


def _place(path: Path, text: str, key: str) -> str:
    """The file and the line where a key or table of the top level stands."""
    written = re.compile(rf"""\s*\[*\s*["']?{re.escape(key)}["']?\s*[.=\]]""")
    lines = (number for number, line in enumerate(text.splitlines(), 1) if written.match(line))
    number = next(lines, None)
    return f"{path}, key {key}" if number is None else f"{path}, line {number}, key {key}"


def _unknown(key: str, where: str, known: list[str]) -> ConfigurationError:
    near = difflib.get_close_matches(key, known, 1)
    hint = f"'{near[0]}'" if near else f"one of {', '.join(known)}"
    return ConfigurationError(f"there is no setting '{key}'", where=where, hint=hint)
