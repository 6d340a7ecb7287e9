from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from headrace.bench.idle import await_idle, cpu_ticks
from headrace.bench.peers import PYTHON_VARIABLE, LlamaCpp, peer_python
from headrace.bench.startup import first_output
from headrace.checkpoint.source import resolve
from headrace.errors import MachineError, RequestError

BUSY = "import time\nwhile time.process_time() < 0.4: pass\nprint('done', flush=True)\ninput()"


def test_await_idle_waits_for_the_end_of_work() -> None:
    process = subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE)
    with process:
        time.sleep(0.1)
        await_idle(process.pid)
        assert cpu_ticks(process.pid) >= 0.3 * os.sysconf("SC_CLK_TCK")
        process.communicate(b"\n")


def test_a_process_that_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(MachineError, match="is gone"):
        cpu_ticks(process.pid)


def test_first_output_does_not_wait_for_the_end() -> None:
    late = "import time; print('text', flush=True); time.sleep(0.5)"
    begin = time.perf_counter()
    seconds = first_output([sys.executable, "-c", late])
    assert 0 < seconds <= time.perf_counter() - begin - 0.4


def test_a_command_that_fails_says_why() -> None:
    with pytest.raises(MachineError, match="no such model"):
        first_output([sys.executable, "-c", "raise SystemExit('no such model')"])


def test_the_peer_s_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PYTHON_VARIABLE, raising=False)
    assert peer_python(None) == sys.executable
    monkeypatch.setenv(PYTHON_VARIABLE, "/one")
    assert peer_python(None) == "/one"
    assert peer_python(Path("/two")) == "/two"


@pytest.mark.skipif(find_spec("llama_cpp") is not None, reason="llama-cpp-python is installed")
def test_a_peer_that_is_not_installed_says_how(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="needs llama-cpp-python") as caught:
        LlamaCpp(sys.executable, tmp_path / "model.gguf", 1, 256, 100)
    assert "pip install llama-cpp-python" in str(caught.value)


def test_a_peer_s_python_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot be started"):
        LlamaCpp(str(tmp_path / "python"), tmp_path / "model.gguf", 1, 256, 100)


@pytest.mark.skipif(PYTHON_VARIABLE not in os.environ, reason=f"{PYTHON_VARIABLE} names no Python")
def test_llama_cpp_runs_a_random_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path))
    source = resolve("random:tiny-llama@q4_0")
    with LlamaCpp(peer_python(None), source.path, 1, 64, 384) as llama:
        prefill, decode = llama.run(32, 4)
    assert prefill > 0
    assert decode > 0
    with pytest.raises(MachineError, match="cannot load"):
        LlamaCpp(peer_python(None), tmp_path / "nothing.gguf", 1, 64, 384)
