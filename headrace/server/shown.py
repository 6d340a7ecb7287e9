"""Settings as the file that would say the same."""

from __future__ import annotations

import json

import msgspec

from headrace.server.config import Configuration

SECRET = "api_key"


def as_toml(configuration: Configuration) -> str:
    """All settings, each with who gave it; unset ones as comments, keys only counted."""
    values = msgspec.structs.asdict(configuration.settings)
    lines = [_line(name, value, configuration.origins) for name, value in values.items()]
    read = configuration.file or "none"
    return "\n".join([f"# file of settings: {read}", *lines, ""])


def _line(name: str, value: object, origins: dict[str, str]) -> str:
    key, origin = name.replace("_", "-"), origins.get(name, "default")
    if value is None:
        return f"# {key} is not set"
    if name == SECRET:
        count = len(value) if isinstance(value, tuple) else 1
        return f"# {key}: {count} hidden  # {origin}"
    return f"{key} = {_toml(value)}  # {origin}"


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(each) for each in value)}]"
    return json.dumps(value)  # of texts, numbers and booleans TOML's form is JSON's
