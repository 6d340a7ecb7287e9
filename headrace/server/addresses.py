"""Addresses to listen at."""

from __future__ import annotations

import ipaddress
import socket

from headrace.errors import ConfigurationError

BACKLOG = 2048


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ConfigurationError: the address is not this machine's, or another process has the port.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"there is no address '{host}': {error}", where="host") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"port {port} of {host} cannot be used: {error.strerror}",
            where="port",
            hint="another server may have it; --port 0 takes a free one",
        ) from error
    listener.setblocking(False)
    return listener


def url(listener: socket.socket) -> str:
    """Where a browser finds what listens there."""
    host: str = listener.getsockname()[0]
    port: int = listener.getsockname()[1]
    shown: str = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
