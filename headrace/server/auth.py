"""Who may ask: keys, and which web pages."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from starlette.datastructures import Headers

from headrace.errors import AuthenticationError, ConfigurationError, ForbiddenError
from headrace.server.addresses import is_loopback
from headrace.server.config import KEY, Settings

#: Paths that anyone may ask for: whether the server is well, and the page, which has no secrets.
PUBLIC = frozenset({"/", "/health", "/ready", "/favicon.ico"})
PUBLIC_BELOW = "/page/"


def is_public(path: str) -> bool:
    return path in PUBLIC or path.startswith(PUBLIC_BELOW)


class Keys:
    """The keys that requests may show; only their hashes are kept."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._salt = secrets.token_bytes(32)
        self._hashes = [self._hash(key) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def accept(self, key: str) -> bool:
        """Whether it is one of them; takes as long whichever it is, and whether it is."""
        shown, found = self._hash(key), False
        for each in self._hashes:
            found |= hmac.compare_digest(each, shown)
        return found

    def _hash(self, key: str) -> bytes:
        return hmac.digest(self._salt, key.encode("utf-8", "surrogateescape"), sha256)


class Auth:
    """Decides whether a request may go on.

    With keys, a request must show one: `Authorization: Bearer KEY` or `x-api-key: KEY`. A server
    without keys that only this machine can reach takes requests only under this machine's own
    names: a web page that has its name point here must not speak to it. Browsers say where a page
    comes from; other places than the server itself may not ask.
    """

    def __init__(self, settings: Settings) -> None:
        self._keys = Keys(all_keys(settings))
        self._own_names = not self._keys and not settings.insecure

    def check(self, path: str, headers: Headers) -> None:
        """Raises AuthenticationError or ForbiddenError if the request may not go on."""
        host = headers.get("host", "")
        if self._own_names and not is_loopback(_name(host)):
            raise ForbiddenError(
                f"a server without keys is not to be called '{_name(host)}'",
                where="Host",
                hint="call it localhost, or give it an --api-key",
            )
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            raise ForbiddenError("pages of other servers may not ask this one", where="Origin")
        if self._keys and not is_public(path) and not self._keys.accept(_shown(headers)):
            raise AuthenticationError(
                "the request shows no key that this server accepts",
                where="Authorization",
                hint="Authorization: Bearer KEY",
            )


def all_keys(settings: Settings) -> list[str]:
    """The keys of the settings, and of the file that they name.

    Raises:
        ConfigurationError: the file cannot be read, or has something that is no key, or none.
    """
    if settings.api_key_file is None:
        return list(settings.api_key)
    path = Path(settings.api_key_file)
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the file of keys cannot be read: {error}") from error
    keys = {number: line.strip() for number, line in enumerate(lines, 1)}
    keys = {number: key for number, key in keys.items() if key and not key.startswith("#")}
    for number, key in keys.items():
        if KEY.fullmatch(key) is None:
            raise ConfigurationError(
                "a key is printable ASCII without blanks and commas", where=f"{path}, line {number}"
            )
    if not keys:
        raise ConfigurationError("the file of keys has no key", where=str(path))
    return [*settings.api_key, *keys.values()]


def require_safe(settings: Settings) -> None:
    """Raise ConfigurationError if others could use the server, and nobody said that they may."""
    if settings.loopback or settings.insecure or all_keys(settings):
        return
    raise ConfigurationError(
        f"whoever reaches {settings.host} could use this server",
        where="host",
        hint="give it an --api-key or --api-key-file, or say --insecure",
    )


def _shown(headers: Headers) -> str:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")


def _name(host: str) -> str:
    """The name in a Host header, without the port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
