"""What `headrace serve` is told: one set of names for flags, environment and file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from headrace.errors import ConfigurationError
from headrace.server.addresses import is_loopback
from headrace.server.link.messages import Kv, Weights
from headrace.server.named import NamedModel
from headrace.server.sources import (
    Given,
    from_environment,
    from_file,
    from_flags,
    ignored_variables,
)

DEFAULT_FILE = Path("headrace.toml")
DAY = 24 * 3600.0

#: Printable ASCII without blanks and commas.
KEY = re.compile(r"[!-+\--~]{1,512}")
Key = Annotated[str, Meta(pattern=rf"^{KEY.pattern}$")]
Count = Annotated[int, Meta(ge=1, le=1 << 40)]
Seconds = Annotated[float, Meta(gt=0, le=DAY)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a server.

    Attributes:
        models: MODEL or NAME=MODEL, where MODEL is what `headrace run` takes.
        host, port: where to listen; port 0 takes a free one.
        api_key, api_key_file: keys that requests may show; a file has one a line.
        insecure: serve other machines without a key.
        threads: workers of each model; None divides the cores among the models.
        weights, context, kv, kv_tokens: of each model, as `headrace.load`.
        queue: requests of a model that may wait. slots: that are computed at once.
        connections: open at once. requests: under way at once.
        max_body: bytes of a request's body.
        receive_timeout: seconds until a request's head, and then its body, must be there, and until
            a client must have read what it was sent.
        request_timeout: seconds that an answer may take.
        ping: seconds of silence after which a stream says that it is alive.
        drain: seconds that requests have to end when the server is to stop.
        log_prompts: write prompts to the log.
    """

    models: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    api_key: tuple[Key, ...] = ()
    api_key_file: str | None = None
    insecure: bool = False
    threads: Annotated[int, Meta(ge=1, le=1024)] | None = None
    weights: Weights = "auto"
    context: Count | None = None
    kv: Kv = "auto"
    kv_tokens: Count | None = None
    queue: Annotated[int, Meta(ge=1, le=100_000)] = 256
    slots: Annotated[int, Meta(ge=1, le=64)] = 64
    connections: Annotated[int, Meta(ge=8, le=100_000)] = 1024
    requests: Annotated[int, Meta(ge=1, le=100_000)] = 512
    max_body: Annotated[int, Meta(ge=1024, le=1 << 30)] = 8 << 20
    receive_timeout: Seconds = 30.0
    request_timeout: Seconds = 600.0
    ping: Seconds = 10.0
    drain: Annotated[float, Meta(ge=0, le=DAY)] = 30.0
    log_prompts: bool = False

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)

    def named_models(self) -> list[NamedModel]:
        """The models and their names.

        Raises:
            ConfigurationError: there is none, or two have one name.
        """
        found = [NamedModel.parse(text) for text in self.models]
        names = [each.name for each in found]
        if not found:
            raise ConfigurationError(
                "there is no model to serve", where="MODEL", hint="headrace serve smollm2"
            )
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigurationError(
                f"two models have the name '{twice[0]}'",
                where="MODEL",
                hint=f"give one another name: other-name={twice[0]}",
            )
        return found


class Configuration(msgspec.Struct, frozen=True):
    """Settings, and who gave each that is not the default: name → flag, variable or file and line.

    file: the one that was read. ignored: variables that begin like settings and are none.
    """

    settings: Settings
    origins: dict[str, str]
    file: str | None
    ignored: tuple[str, ...] = ()


def configure(
    flags: Mapping[str, object],
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Configuration:
    """Settings from flags, else the environment, else a file, else the defaults.

    Args:
        flags: by their names in `Settings`; None: not given.
        file: must exist; None takes $HEADRACE_CONFIG, or headrace.toml here if there is one.
        environment: None takes the process's own.

    Raises:
        ConfigurationError: a setting is unknown, malformed or out of its range, or the file cannot
            be read; `where` names flag, variable, or file and line.
    """
    variables = os.environ if environment is None else environment
    path = _file(file, variables)
    layers = [
        *([] if path is None else [from_file(path, _NAMES)]),
        from_environment(variables, _NAMES, _LISTS),
        from_flags(flags),
    ]
    given = {name: value for layer in layers for name, value in layer.items()}
    values = {name: _value(name, each) for name, each in given.items()}
    origins = {name: each.where for name, each in given.items()}
    settings = msgspec.convert(values, Settings)
    ignored = tuple(ignored_variables(variables, _NAMES))
    return Configuration(settings, origins, None if path is None else str(path), ignored)


def _file(asked: Path | None, environment: Mapping[str, str]) -> Path | None:
    if asked is not None:
        return asked
    if named := environment.get("HEADRACE_CONFIG"):
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.is_file() else None


def _value(name: str, given: Given) -> object:
    try:
        return msgspec.convert(given.value, _TYPES[name], strict=not given.text)
    except msgspec.ValidationError as error:
        shown = "" if name.startswith("api_key") else f" {given.value!r}"
        raise ConfigurationError(
            f"{name.replace('_', '-')}{shown} is not valid: {_reason(error)}", where=given.where
        ) from error


def _reason(error: msgspec.ValidationError) -> str:
    """msgspec's words, without the place within a list."""
    text = str(error).partition(" - at ")[0].replace("`", "")
    return text[:1].lower() + text[1:]


def _fields() -> Sequence[msgspec.structs.FieldInfo]:
    return msgspec.structs.fields(Settings)


_TYPES = {field.name: field.type for field in _fields()}
_NAMES = tuple(_TYPES)
_LISTS = ("models", "api_key")
