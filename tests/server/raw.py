"""Requests written by hand, to say what no client library would."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, or what came of it; status 0: none."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def connect(url: str, seconds: float = 20) -> socket.socket:
    place = urlsplit(url)
    return socket.create_connection((place.hostname, place.port), seconds)


def request(method: str, path: str, body: object = None, **headers: str) -> bytes:
    """The bytes of a request; a body that is no bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    content = b"" if body is None else content
    lines = {"Host": "localhost", "Content-Type": "application/json", "Connection": "close"}
    lines |= {"Content-Length": str(len(content))} if content else {}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + content


def read(connection: socket.socket) -> Reply:
    """All that comes until the other end closes."""
    parts: list[bytes] = []
    try:
        while part := connection.recv(1 << 16):
            parts.append(part)
    except ConnectionError:
        pass  # it was aborted; what came before counts
    head, _, body = b"".join(parts).partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.split(": ", 1) for line in lines)
    headers = {name.lower(): value for name, value in pairs}
    return Reply(int(first.split(" ")[1]) if first else 0, headers, body)


def ask(url: str, method: str, path: str, body: object = None, **headers: str) -> Reply:
    with connect(url) as connection:
        connection.sendall(request(method, path, body, **headers))
        return read(connection)
