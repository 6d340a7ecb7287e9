"""A hub on this machine: the part of its HTTP interface that a download needs, and its failures."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

MAIN, OLD = "0123456789abcdef0123456789abcdef01234567", "89abcdef" * 5
LARGE = 1000
REPO = "owner/model"

Files = dict[str, bytes]


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    range: str | None
    token: str | None


@dataclass
class Faults:
    """What goes wrong with large files.

    Attributes:
        break_after: the connection breaks after so many bytes of an answer, this many times.
        stall_after: the answer stops after so many bytes until `released`.
        damage: serve other bytes than the hub lists; "flip", "short", or None.
        status: answer the listing with this status and error code.
        token: only this token is let in.
    """

    break_after: tuple[int, int] | None = None
    stall_after: int | None = None
    damage: str | None = None
    status: tuple[int, str] | None = None
    token: str | None = None
    ignore_ranges: bool = False
    released: threading.Event = field(default_factory=threading.Event)


class LocalHub(ThreadingHTTPServer):
    """Serves the revisions of one repository; `asked` are the requests so far."""

    daemon_threads = True

    def __init__(self, revisions: dict[str, Files]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.revisions = revisions
        self.asked: list[Asked] = []
        self.faults = Faults()
        self.commits = {"main": MAIN, "v1": OLD, MAIN: MAIN, OLD: OLD}

    def files(self, commit: str) -> Files:
        return self.revisions[{MAIN: "main", OLD: "v1"}[commit]]

    def gets(self, name: str) -> list[Asked]:
        return [a for a in self.asked if a.method == "GET" and a.path.endswith(f"/{name}")]


class _Handler(BaseHTTPRequestHandler):
    server: LocalHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        token = self.headers.get("Authorization")
        self.server.asked.append(Asked(self.command, path, self.headers.get("Range"), token))
        if path.startswith("/cdn/"):
            _, _, commit, name = path.split("/", 3)
            self._file(self.server.files(commit)[name])
        elif self.server.faults.token not in (None, (token or "").removeprefix("Bearer ")):
            # The real hub does not tell whether a private repository exists.
            self._send(401, b"{}", {} if token else {"X-Error-Code": "RepoNotFound"})
        elif path.startswith(f"/api/models/{REPO}"):
            self._listing(path.removeprefix(f"/api/models/{REPO}").removeprefix("/revision/"))
        elif path.startswith(f"/{REPO}/resolve/"):
            self._resolve(*path.removeprefix(f"/{REPO}/resolve/").split("/", 1))
        else:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def _listing(self, revision: str) -> None:
        if self.server.faults.status is not None:
            status, code = self.server.faults.status
            self._send(status, b"{}", {"X-Error-Code": code} if code else {})
        elif (commit := self.server.commits.get(revision or "main")) is None:
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        else:
            siblings = [listed(*each) for each in self.server.files(commit).items()]
            about = {"id": REPO, "sha": commit, "siblings": siblings}
            self._send(200, json.dumps(about).encode())

    def _resolve(self, commit: str, name: str) -> None:
        content = self.server.files(commit).get(name)
        if content is None:
            self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
        elif len(content) < LARGE:
            self._send(200, content)
        else:
            self._send(302, b"", {"Location": f"/cdn/{commit}/{name}"})

    def _file(self, content: bytes) -> None:
        faults, wanted = self.server.faults, self.headers.get("Range")
        content = _damaged(content, faults.damage)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if start > len(content):
            self._send(416, b"")
            return
        if faults.ignore_ranges:
            start = 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if self.command == "GET":
            self._body(content[start:])

    def _body(self, content: bytes) -> None:
        faults = self.server.faults
        if faults.break_after is not None and faults.break_after[1] > 0:
            count, times = faults.break_after
            faults.break_after = (count, times - 1)
            self.wfile.write(content[:count])
            self.close_connection = True
        elif faults.stall_after is not None:
            self.wfile.write(content[: faults.stall_after])
            self.wfile.flush()
            faults.released.wait()
            self.close_connection = True
        else:
            self.wfile.write(content)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def _damaged(content: bytes, damage: str | None) -> bytes:
    if damage == "flip":
        return content[:-1] + bytes([content[-1] ^ 1])
    return content[: len(content) // 2] if damage == "short" else content


def listed(name: str, content: bytes) -> dict[str, object]:
    """A file as the hub lists it: large ones with SHA-256, all with the hash of a git blob."""
    blob = hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False)
    entry: dict[str, object] = {"rfilename": name, "size": len(content), "blobId": blob.hexdigest()}
    if len(content) >= LARGE:
        sha256 = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 130}
    return entry
