"""A server with a real model, under load, while clients and signals do their worst."""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.build.cached import environment
from tests.server.raw import Reply, ask, connect, read, request
from tests.server.running import Server, engines, serving

pytestmark = pytest.mark.slow

MODEL = "smollm2"
STORY = {"model": MODEL, "prompt": "Once upon a time", "ignore_eos": True, "temperature": 0}
CLIENT = """
import sys
from tests.server.raw import connect, request
stream = {"model": "smollm2", "prompt": "A", "max_tokens": 4000, "stream": True, "ignore_eos": True}
with connect(sys.argv[1]) as connection:
    connection.sendall(request("POST", "/v1/completions", stream))
    assert b" 200 OK" in connection.recv(100)
    print("reads", flush=True)
    while connection.recv(100):
        pass
"""


def complete(server: Server, tokens: int, **fields: object) -> Reply:
    return ask(server.url, "POST", "/v1/completions", {**STORY, "max_tokens": tokens, **fields})


def text_of(reply: Reply) -> str:
    return reply.json()["choices"][0]["text"]


def metric(server: Server, name: str) -> float:
    text = ask(server.url, "GET", "/metrics").body.decode()
    found = re.search(rf'^{re.escape(name)}{{model_name="{MODEL}"}} (\S+)$', text, re.M)
    assert found, name
    return float(found[1])


def events(reply: Reply) -> list[Any]:
    """Of a stream that has come whole: the last event says so."""
    lines = re.findall(rb"^data: (.*?)\r?$", reply.body, re.M)
    assert lines[-1] == b"[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_sigterm_under_load(tmp_path: Path) -> None:
    """All that was taken is answered, whole; nothing more is taken; the exit status is 0."""
    with serving(tmp_path / "log", MODEL) as server, ThreadPoolExecutor(32) as pool:
        whole = [pool.submit(complete, server, 100 + each) for each in range(12)]
        streams = [pool.submit(complete, server, 100 + each, stream=True) for each in range(12)]
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        late = complete(server, 3)
        assert (late.status, late.headers["retry-after"]) == (503, "5")
        assert ask(server.url, "GET", "/ready").status == 503
        for each, answer in enumerate(whole):
            assert answer.result().json()["usage"]["completion_tokens"] == 100 + each
        for answer in streams:
            finish = [event["choices"][0]["finish_reason"] for event in events(answer.result())]
            assert finish[-1] == "length"
        assert server.process.wait(10) == 0


def test_sigterm_when_time_is_over(tmp_path: Path) -> None:
    """What does not end in time is told so; the exit status is 0 still."""
    with (
        serving(tmp_path / "log", MODEL, "--drain", "0.3") as server,
        ThreadPoolExecutor(4) as pool,
    ):
        whole = pool.submit(complete, server, 4000)
        stream = pool.submit(complete, server, 4000, stream=True)
        time.sleep(0.5)
        start = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert whole.result().status == 503
        assert b"the server is being shut down" in stream.result().body
        assert server.process.wait(10) == 0
        assert time.monotonic() - start < 4


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
def test_an_engine_dies_under_load(tmp_path: Path, number: signal.Signals) -> None:
    """Every request is answered with what has happened, at once."""
    with serving(tmp_path / "log", MODEL) as server, ThreadPoolExecutor(16) as pool:
        whole = [pool.submit(complete, server, 4000) for _ in range(8)]
        streams = [pool.submit(complete, server, 4000, stream=True) for _ in range(8)]
        time.sleep(0.5)
        engines(server)[0].send_signal(number)
        assert server.process.wait(5) == 1
        said = f"the engine of model '{MODEL}' was ended by {number.name}"
        for answer in whole:
            assert answer.result().status == 503
            assert answer.result().json()["error"]["message"].startswith(said)
        for answer in streams:
            assert said.encode() in answer.result().body
    assert f"headrace: {said}" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("number", [signal.SIGILL, signal.SIGABRT])
def test_a_worker_thread_dies(tmp_path: Path, number: signal.Signals) -> None:
    """What a trap or a failing assertion in native code does to its thread ends the process, whose
    other threads would wait for the thread for ever; every request is told so."""
    with (
        serving(tmp_path / "log", MODEL, "--threads", "2") as server,
        ThreadPoolExecutor(8) as pool,
    ):
        asked = [pool.submit(complete, server, 4000) for _ in range(8)]
        time.sleep(0.5)
        _signal_thread(_worker(engines(server)[0]), number)
        assert server.process.wait(5) == 1
        said = f"the engine of model '{MODEL}' was ended by {number.name}"
        for answer in asked:
            assert answer.result().status == 503
            assert answer.result().json()["error"]["message"].startswith(said)
    assert f"headrace: {said}" in (tmp_path / "log").read_text()


def _worker(engine: psutil.Process) -> tuple[int, int]:
    """The engine's process and its busiest thread but the first: one that computes."""
    others = [each for each in engine.threads() if each.id != engine.pid]
    before = {each.id: each.user_time for each in others}
    time.sleep(0.3)
    spent = {each.id: each.user_time - before.get(each.id, 0) for each in engine.threads()}
    busiest = max(before, key=lambda thread: spent.get(thread, 0))
    assert spent[busiest] > 0
    return engine.pid, busiest


def _signal_thread(place: tuple[int, int], number: signal.Signals) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.tgkill(*place, int(number)) == 0, os.strerror(ctypes.get_errno())


def test_clients_that_are_killed(tmp_path: Path) -> None:
    """kill -9 of a client in mid-stream, 200 times: nothing is left of them, others do not mind."""
    with serving(tmp_path / "log", MODEL, "--context", "1024", "--kv-tokens", "2048") as server:
        alone = text_of(complete(server, 64))
        _kill_clients(server, 64, alone)  # keys and values fill the memory that they may have
        before = _memory(server)
        _kill_clients(server, 136, alone)
        end = time.monotonic() + 5  # some steps, on a machine that others use too
        while metric(server, "vllm:num_requests_running") and time.monotonic() < end:
            time.sleep(0.01)
        assert metric(server, "vllm:num_requests_running") == 0
        assert metric(server, "headrace:kv_blocks_used") == 0
        assert _memory(server) < 1.03 * before


def _kill_clients(server: Server, count: int, expected: str, at_once: int = 8) -> None:
    command = [sys.executable, "-c", CLIENT, server.url]
    for _ in range(count // at_once):
        with ExitStack() as stack:
            clients = [
                stack.enter_context(
                    subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE)
                )
                for _ in range(at_once)
            ]
            for client in clients:
                assert client.stdout is not None
                assert client.stdout.readline() == b"reads\n"
            assert text_of(complete(server, 64)) == expected
            for client in clients:
                client.kill()


def _memory(server: Server) -> int:
    process = psutil.Process(server.process.pid)
    return sum(each.memory_info().rss for each in [process, *process.children()])


def test_ten_thousand_connections(tmp_path: Path) -> None:
    """Opened and dropped, some with a request begun: /health is answered all the time."""
    begun = [b"", b"GET /hea", request("POST", "/v1/completions", b"{", Content_Length="99")]
    with serving(tmp_path / "log", MODEL) as server:
        slowest = 0.0
        for number in range(10_000):
            with connect(server.url) as connection:
                connection.sendall(begun[number % 3])
            if number % 100 == 0:
                slowest = max(slowest, _seconds_of_health(server))
        assert slowest < 0.3  # under 0.06 where nobody else computes
        assert text_of(complete(server, 8))
        assert psutil.Process(server.process.pid).num_fds() < 100


def _seconds_of_health(server: Server) -> float:
    start = time.perf_counter()
    assert ask(server.url, "GET", "/health").status == 200
    return time.perf_counter() - start


def test_slow_readers(tmp_path: Path) -> None:
    """48 clients that read nothing: an answer that is read comes as it does alone, and theirs are
    there when they look."""
    with serving(tmp_path / "log", MODEL) as server, ExitStack() as stack:
        alone = text_of(complete(server, 64))
        fields = {**STORY, "max_tokens": 100, "stream": True}
        held = [stack.enter_context(connect(server.url)) for _ in range(48)]
        for connection in held:
            connection.sendall(request("POST", "/v1/completions", fields))
        assert text_of(complete(server, 64)) == alone
        for connection in held:
            chosen = [event["choices"][0] for event in events(read(connection))]
            assert "".join(choice["text"] for choice in chosen).startswith(alone)
