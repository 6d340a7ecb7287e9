"""Settings as the file that would say the same."""

from __future__ import annotations

import json

import msgspec

from headrace.server.config import Configuration

SECRET = "api_key"


def as_toml(configuration: Configuration) -> str:
    """All settings, each with who gave it; unset ones as comments, keys hidden."""
    values = msgspec.structs.asdict(configuration.settings)
    values[SECRET] = tuple("hidden" for _ in configuration.settings.api_key)
    lines = [_line(name, value, configuration.origins) for name, value in values.items()]
    read = configuration.file or "none"
    return "\n".join([f"# file of settings: {read}", *lines, ""])


def _line(name: str, value: object, origins: dict[str, str]) -> str:
    key, origin = name.replace("_", "-"), origins.get(name, "default")
    if value is None:
        return f"# {key} is not set"
    return f"{key} = {_toml(value)}  # {origin}"


def _toml(value: object) -> str:
    # Of lists, texts, numbers and booleans TOML's form is JSON's.
    return json.dumps(value, ensure_ascii=False)
