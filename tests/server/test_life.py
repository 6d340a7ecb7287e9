"""How a server starts and ends: signals, and engines that die."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.build.cached import RANDOM, environment, shared_cache
from tests.server.raw import ask, connect, request
from tests.server.running import engines, serving

TINY = f"tiny={RANDOM}"
LONG = {"model": "tiny", "prompt": "Hello", "max_tokens": 400, "ignore_eos": True}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with shared_cache(tmp_path_factory):
        yield


def gone(process: psutil.Process, seconds: float = 10) -> bool:
    """Whether it has ended by then; a zombie has."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.01)
    return False


slow = pytest.mark.slow
OTHER_ENDS = (signal.SIGSEGV, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=slow)])
def test_a_signal_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    with serving(tmp_path / "log", TINY) as server:
        engine = engines(server)[0]
        server.process.send_signal(number)
        assert server.process.wait(10) == 0
        assert gone(engine)
    assert "event=stopped" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGABRT,
        *(pytest.param(each, marks=slow) for each in (signal.SIGSEGV, signal.SIGKILL)),
    ],
)
def test_a_dead_engine_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    """With a message that names the model and the signal, and at once."""
    with serving(tmp_path / "log", TINY) as server:
        engines(server)[0].send_signal(number)
        start = time.monotonic()
        assert server.process.wait(10) == 1
        assert time.monotonic() - start < 5
    said = (tmp_path / "log").read_text()
    assert f"headrace: the engine of model 'tiny' was ended by {number.name}" in said


@slow
def test_no_engine_outlives_its_server(tmp_path: Path) -> None:
    with serving(tmp_path / "log", TINY) as server:
        engine = engines(server)[0]
        server.process.kill()
        assert gone(engine)


@slow
def test_several_models(tmp_path: Path) -> None:
    """Each has its process; a request names one; when one dies, the server ends and says which."""
    other = f"other={RANDOM}"
    with serving(tmp_path / "log", TINY, other, "--log-prompts", "--threads", "1") as server:
        answers = [
            ask(server.url, "POST", "/v1/completions", {**LONG, "model": name, "temperature": 0})
            for name in ("tiny", "other")
        ]
        texts = [answer.json()["choices"][0]["text"] for answer in answers]
        assert texts[0] == texts[1]
        first, second = engines(server)
        second.kill()
        assert server.process.wait(10) == 1
        assert gone(first)
    said = (tmp_path / "log").read_text()
    assert "headrace: the engine of model 'other' was ended by SIGKILL" in said
    assert "event=prompt" in said
    assert "text=Hello" in said


@slow
def test_loading_is_given_up(tmp_path: Path) -> None:
    """SIGTERM while a model is compiled ends all of it, and leaves nothing half made."""
    cache = tmp_path / "cache"
    command = [sys.executable, "-m", "headrace", "serve", RANDOM, "--port", "0"]
    variables = environment(HEADRACE_CACHE=str(cache))
    with subprocess.Popen(command, env=variables, stderr=subprocess.DEVNULL) as server:
        _until(lambda: (cache / "programs").exists(), 30)
        time.sleep(0.5)
        below = psutil.Process(server.pid).children(recursive=True)
        server.terminate()
        assert server.wait(20) == 0
    assert all(map(gone, below))
    assert not [path for path in cache.glob("p*/*") if path.suffix != ".lock"]


@slow
def test_a_model_that_cannot_be_loaded(tmp_path: Path) -> None:
    ended = _serve(str(tmp_path / "none.gguf"), "--port", "0")
    assert ended.returncode == 1
    assert "headrace: there is no such file or directory" in ended.stderr
    assert "Traceback" not in ended.stderr


@slow
def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with serving(tmp_path / "log", TINY) as server:
        ended = _serve(TINY, "--port", server.url.rpartition(":")[2])
    assert ended.returncode == 1
    assert "cannot be used: Address already in use" in ended.stderr


@slow
def test_what_is_not_safe_is_not_served() -> None:
    ended = _serve(TINY, "--host", "0.0.0.0")
    assert ended.returncode == 1
    assert "whoever reaches 0.0.0.0 could use this server" in ended.stderr


def test_print_config(tmp_path: Path) -> None:
    (tmp_path / "headrace.toml").write_text('port = 81\napi-key = ["secret"]\n')
    ended = _serve("smollm2", "--drain", "3", "--print-config", cwd=tmp_path)
    assert ended.returncode == 0
    assert "port = 81  # headrace.toml, line 1, key port" in ended.stdout
    assert "drain = 3.0  # --drain" in ended.stdout
    assert "secret" not in ended.stdout


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with serving(tmp_path / "log", TINY, "--drain", "60") as server:
        engine = engines(server)[0]
        engine.suspend()  # what is under way will never end
        with connect(server.url) as connection:
            connection.sendall(request("POST", "/v1/completions", LONG))
            time.sleep(0.3)
            server.process.terminate()
            _until(lambda: ask(server.url, "GET", "/ready").status == 503)
            reply = ask(server.url, "POST", "/v1/completions", LONG)
            assert (reply.status, reply.headers["retry-after"]) == (503, "5")
            assert ask(server.url, "GET", "/health").status == 200
            server.process.terminate()
            assert server.process.wait(5) == 128 + signal.SIGTERM
        assert gone(engine)


def _until(holds: Callable[[], bool], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def _serve(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "headrace", "serve", *arguments]
    return subprocess.run(
        command, env=environment(), cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )
