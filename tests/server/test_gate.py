"""What stands before the routes: keys, names, bounds in bytes and seconds, ids."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from starlette.datastructures import Headers

from headrace.errors import AuthenticationError, ForbiddenError
from headrace.server.auth import Auth, Keys
from headrace.server.config import Settings
from tests.build.cached import RANDOM, shared_cache
from tests.server.raw import Reply, ask, connect, read, request
from tests.server.running import Server, serving

KEY = {"Authorization": "Bearer right-key"}
PROMPT = {"model": "tiny", "prompt": "Hello", "max_tokens": 3}
TINY = f"tiny={RANDOM}"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with keys and narrow bounds."""
    log = tmp_path_factory.mktemp("guarded") / "log"
    options = ("--api-key", "other-key", "--api-key", "right-key", "--max-body", "2048")
    options += ("--receive-timeout", "0.5", "--connections", "16")
    with shared_cache(tmp_path_factory), serving(log, TINY, *options) as running:
        yield running


def test_keys() -> None:
    keys = Keys(["one", "two"])
    assert keys.accept("one")
    assert keys.accept("two")
    assert not any(map(keys.accept, ["", "on", "One", "one ", "sécret", "\udcff"]))
    assert keys
    assert not Keys([])


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:8000", "[::1]:8000", "localhost"])
def test_this_machines_names(host: str) -> None:
    Auth(Settings()).check("/v1/models", Headers({"host": host}))
    Auth(Settings()).check("/v1/models", Headers({"host": host, "origin": f"http://{host}"}))
    headers = Headers({"host": host, "origin": "http://evil.example"})
    with pytest.raises(ForbiddenError, match="pages of other servers"):
        Auth(Settings()).check("/v1/models", headers)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:8000", "", "10.0.0.1"])
def test_other_names(host: str) -> None:
    """A page whose own name is made to point here (DNS rebinding) is refused, key or page."""
    with pytest.raises(ForbiddenError, match="is not to be called"):
        Auth(Settings()).check("/", Headers({"host": host}))
    Auth(Settings(insecure=True)).check("/", Headers({"host": host}))
    keyed = Auth(Settings(api_key=("secret",)))
    keyed.check("/v1/models", Headers({"host": host, "x-api-key": "secret"}))
    with pytest.raises(AuthenticationError):
        keyed.check("/v1/models", Headers({"host": host}))


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "right-key"}, {"Authorization": "Bearer wrong"}, {"X_API_Key": "right"}],
)
@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/openapi.json", "/v1/none"])
def test_no_key_no_answer(guarded: Server, path: str, headers: dict[str, str]) -> None:
    reply = ask(guarded.url, "GET", path, **headers)
    assert reply.status == 401
    assert reply.json()["error"]["code"] == "invalid_api_key"
    assert reply.headers["www-authenticate"] == "Bearer"


def test_keys_are_accepted(guarded: Server) -> None:
    for headers in (KEY, {"authorization": "bearer other-key"}, {"X_API_Key": "right-key"}):
        assert ask(guarded.url, "GET", "/v1/models", **headers).status == 200
    assert ask(guarded.url, "POST", "/v1/completions", PROMPT, **KEY).status == 200
    for path in ("/health", "/ready", "/"):
        assert ask(guarded.url, "GET", path).status == 200


def test_cross_origin_is_closed(guarded: Server) -> None:
    headers = {"Origin": "http://evil.example", **KEY}
    reply = ask(guarded.url, "POST", "/v1/completions", PROMPT, **headers)
    assert reply.status == 403
    asked = {"Access_Control_Request_Method": "POST", **headers}
    for answer in (reply, ask(guarded.url, "OPTIONS", "/v1/completions", **asked)):
        assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize(
    ("asked", "kept"), [("abc-1.2_3", True), ("a b", False), ("x" * 129, False)]
)
def test_request_ids(guarded: Server, asked: str, kept: bool) -> None:
    good = ask(guarded.url, "GET", "/health", X_Request_ID=asked)
    bad = ask(guarded.url, "GET", "/v1/none", X_Request_ID=asked, **KEY)
    assert (good.headers["x-request-id"] == asked) == kept
    assert bad.status == 404
    assert bad.json()["error"]["request_id"] == bad.headers["x-request-id"]
    _wait_for_log(guarded, bad.headers["x-request-id"])


def test_bodies_are_bounded(guarded: Server) -> None:
    large = {**PROMPT, "prompt": "x" * 3000}
    assert ask(guarded.url, "POST", "/v1/completions", large).status == 401  # before it is read
    announced = ask(guarded.url, "POST", "/v1/completions", large, **KEY)
    assert announced.status == 413
    assert announced.json()["error"]["code"] == "request_too_large"
    with connect(guarded.url) as connection:
        head = {"Transfer_Encoding": "chunked", **KEY}
        connection.sendall(request("POST", "/v1/completions", **head))
        connection.sendall(b"400\r\n" + b" " * 0x400 + b"\r\n")
        connection.sendall((b"400\r\n" + b" " * 0x400 + b"\r\n") * 3)
        assert read(connection).status == 413


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b"\xff\xfe", b'"' * 1000, b"[" * 2000, b"nul"])
def test_what_is_no_request(guarded: Server, body: bytes) -> None:
    reply = ask(guarded.url, "POST", "/v1/completions", body, **KEY)
    assert reply.status == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "sent",
    [b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9.9\r\n\r\n"],
)
def test_what_is_no_http(guarded: Server, sent: bytes) -> None:
    with connect(guarded.url) as connection:
        connection.sendall(sent)
        reply = read(connection)
    assert reply.status == 400
    assert reply.json()["error"]["message"] == "this is no HTTP request"


def test_heads_are_bounded(guarded: Server) -> None:
    with connect(guarded.url) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        try:
            for _ in range(64):
                connection.sendall(b"x" * 4096)
        except ConnectionError:
            return  # it was refused while we wrote
        assert read(connection).status == 431


@pytest.mark.parametrize(
    ("begun", "status"),
    [
        (b"", 0),
        (b"GET /hea", 0),
        (b"GET /health HTTP/1.1\r\nHost: loc", 0),
        (request("POST", "/v1/completions", b'{"model"', Content_Length="99", **KEY), 408),
    ],
    ids=["nothing", "line", "head", "body"],
)
def test_the_slow_are_dropped(guarded: Server, begun: bytes, status: int) -> None:
    """A byte now and then does not keep a connection (slow-loris)."""
    start = time.monotonic()
    with connect(guarded.url) as connection:
        connection.sendall(begun)
        connection.settimeout(0.1)
        reply = _trickle(connection) if begun else None
        connection.settimeout(10)
        reply = reply or read(connection)
    assert reply.status == status
    assert 0.4 < time.monotonic() - start < 5


def _trickle(connection: socket.socket) -> Reply | None:
    for _ in range(100):
        try:
            connection.sendall(b"x")
            if connection.recv(1, socket.MSG_PEEK) is not None:
                return None
        except TimeoutError:
            continue
        except ConnectionError:
            return Reply(0, {}, b"")
    raise AssertionError("the connection was not dropped")


def test_an_idle_connection_makes_room(guarded: Server) -> None:
    """When all connections are taken, the oldest that asks for nothing goes."""
    with ExitStack() as stack:
        held = [stack.enter_context(connect(guarded.url)) for _ in range(16)]
        assert ask(guarded.url, "GET", "/health").status == 200
        assert held[0].recv(1) == b""


def test_connections_are_kept(guarded: Server) -> None:
    """And after each request the next one has its time again."""
    with connect(guarded.url) as connection:
        for _ in range(3):
            connection.sendall(request("GET", "/health", Connection="keep-alive"))
            answer = b""
            while not answer.endswith(b"}"):
                answer += connection.recv(1 << 16)
            assert answer.startswith(b"HTTP/1.1 200")
            time.sleep(0.3)


def test_metrics(guarded: Server) -> None:
    ask(guarded.url, "POST", "/v1/completions", PROMPT, **KEY)
    text = ask(guarded.url, "GET", "/metrics", **KEY).body.decode()
    for name in (
        'vllm:num_requests_running{model_name="tiny"} 0.0',
        'vllm:kv_cache_usage_perc{model_name="tiny"} 0.0',
        'vllm:prefix_cache_queries_total{model_name="tiny"}',
        'vllm:generation_tokens_total{model_name="tiny"}',
        'vllm:time_to_first_token_seconds_bucket{le="0.1",model_name="tiny"}',
        'vllm:request_success_total{finished_reason="length",model_name="tiny"}',
    ):
        assert name in text


def test_prompts_are_not_logged(guarded: Server) -> None:
    ask(guarded.url, "POST", "/v1/completions", {**PROMPT, "prompt": "very private"}, **KEY)
    _wait_for_log(guarded, "prompt_tokens=")
    log = guarded.log.read_text()
    assert "private" not in log
    assert "right-key" not in log


def _wait_for_log(server: Server, text: str) -> None:
    """The log is written by a thread of its own."""
    end = time.monotonic() + 5
    while text not in server.log.read_text():
        assert time.monotonic() < end
        time.sleep(0.01)
