"""Models of the hub, through the real hub library and a hub on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from headrace.checkpoint.hub import HubModel, parse_hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b"{}",
    "model.safetensors": b"weights" * 1000,
    "pytorch_model.bin": b"a pickle, never fetched",
    "original/model.safetensors": b"another layout, never fetched",
    "small.gguf": b"GGUF" + bytes(100),
}
RESOLVE = """
import sys
from headrace.checkpoint.source import resolve
from headrace.errors import HeadraceError
try:
    found = resolve(sys.argv[1])
    print(found.kind, found.path)
except HeadraceError as error:
    print(type(error).__name__, error)
"""


class Hub(BaseHTTPRequestHandler):
    """The few answers of the hub's HTTP interface that a download needs."""

    asked: list[str]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = urlsplit(self.path).path
        self.asked.append(path)
        name = path.removeprefix(f"/owner/model/resolve/{COMMIT}/")
        if path.startswith("/api/models/owner/model/tree/"):
            self.send(200, json.dumps([entry(name) for name in FILES]).encode())
        elif path.startswith("/api/models/owner/model"):
            siblings = [{"rfilename": name, "size": len(FILES[name])} for name in FILES]
            about = {"id": "owner/model", "sha": COMMIT, "siblings": siblings}
            self.send(200, json.dumps(about).encode())
        elif name in FILES:
            self.send(200, FILES[name], {"ETag": f'"{oid(FILES[name])}"', "X-Repo-Commit": COMMIT})
        else:
            self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def entry(name: str) -> dict[str, object]:
    content = FILES[name]
    return {"type": "file", "path": name, "size": len(content), "oid": oid(content)}


@pytest.fixture
def hub() -> Iterator[ThreadingHTTPServer]:
    Hub.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def resolve(name: str, port: int) -> str:
    """`resolve` in a process of its own: the hub library reads its settings when imported."""
    environment = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{port}", "NO_PROXY": "127.0.0.1"}
    environment |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    environment |= {"HF_HOME": os.environ["HEADRACE_CACHE"] + "-hf"}
    environment.pop("HF_HUB_OFFLINE", None)
    command = [sys.executable, "-c", RESOLVE, name]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_repository_is_fetched_once(hub: ThreadingHTTPServer, cache_root: Path) -> None:
    kind, path = resolve("owner/model", hub.server_port).split()
    assert kind == "directory"
    assert Path(path).parent == cache_root / "models"
    fetched = {each.name: each.read_bytes() for each in Path(path).iterdir()}
    wanted = ("config.json", "tokenizer.json", "model.safetensors")
    assert fetched == {name: FILES[name] for name in wanted}
    asked = len(Hub.asked)
    assert resolve("owner/model", hub.server_port).split() == [kind, path]
    assert len(Hub.asked) == asked, "what is in the cache needs no network"


def test_one_gguf_file(hub: ThreadingHTTPServer) -> None:
    kind, path = resolve("owner/model:small.gguf", hub.server_port).split()
    assert kind == "gguf"
    assert Path(path).read_bytes() == FILES["small.gguf"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("owner/model:absent.gguf", "owner/model:small.gguf"),
        ("owner/absent", "the hub knows no such model"),
    ],
)
def test_what_the_hub_has_not(
    hub: ThreadingHTTPServer, cache_root: Path, name: str, message: str
) -> None:
    answer = resolve(name, hub.server_port)
    assert answer.startswith("SourceError")
    assert message in answer
    assert [each for each in (cache_root / "models").iterdir() if each.is_dir()] == []


def test_a_hub_out_of_reach() -> None:
    answer = resolve("owner/model", 9)
    assert answer.startswith("SourceError the hub cannot be reached")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("owner/name", HubModel("owner/name", None)),
        ("o-w.n/Na_me-1.5", HubModel("o-w.n/Na_me-1.5", None)),
        ("owner/name:sub/f-Q4_0.gguf", HubModel("owner/name", "sub/f-Q4_0.gguf")),
        ("owner/name:../f.gguf", None),
        ("owner/name:f.bin", None),
        ("owner/../name", None),
        ("owner", None),
        ("a/b/c", None),
        ("", None),
    ],
)
def test_the_form_of_a_hub_id(text: str, expected: HubModel | None) -> None:
    assert parse_hub(text) == expected
