from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from headrace.bench.idle import await_idle, cpu_ticks
from headrace.bench.peers.engines import LLAMA_CPP, Engine
from headrace.bench.peers.loaded import LoadedPeer, Room
from headrace.bench.peers.pythons import (
    PYTHON_VARIABLE,
    installed_packages,
    missing_text,
    peer_pythons,
    python_of,
)
from headrace.bench.startup import first_output
from headrace.checkpoint.source import resolve
from headrace.errors import MachineError, RequestError

ROOM = Room(64)
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


def test_the_pythons_of_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PYTHON_VARIABLE, raising=False)
    assert peer_pythons(None) == (sys.executable,)
    monkeypatch.setenv(PYTHON_VARIABLE, f"/one{os.pathsep}/two")
    assert peer_pythons(None) == ("/one", "/two")
    assert peer_pythons([Path("/three")]) == ("/three",)


def test_packages_of_this_python() -> None:
    packages = installed_packages(sys.executable)
    assert {"numpy", "huggingface-hub"} <= packages
    installed = {"/none": frozenset[str](), sys.executable: packages | {"llama-cpp-python"}}
    assert python_of(LLAMA_CPP, installed) == sys.executable
    assert python_of(LLAMA_CPP, {"/none": frozenset()}) is None
    assert missing_text(LLAMA_CPP) == "not installed: llama-cpp-python"


def test_a_python_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot be started"):
        installed_packages(str(tmp_path / "python"))
    with pytest.raises(RequestError, match="cannot be started"):
        LoadedPeer(LLAMA_CPP, str(tmp_path / "python"), tmp_path / "model.gguf", 1, ROOM)


PEER = """
import os
import time

class Engine:
    version, options = "1.0", ["slow", "fast", "broken"]

    def __init__(self, path, threads, context, sequences):
        if path.endswith("absent"):
            import no_such_engine
        print("libraries print what they like")
        self.context = context

    def choose(self, option):
        if option == 2:
            raise RuntimeError("no such setting")
        self.seconds = [2.0, 1.0][option]
        return 0.0

    def prefill(self, tokens):
        if len(tokens) > self.context:
            raise RuntimeError("too long")
        return self.seconds

    def decode(self, prompts, steps):
        if steps == 666:
            os._exit(3)
        if steps == 777:
            time.sleep(60)
        return self.seconds * len(prompts) * steps
"""


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    script = tmp_path / "engine.py"
    script.write_text(PEER)
    return Engine("own", "an engine", ("no-such-engine",), str(script), "as in the file")


def test_a_peer_is_tuned_and_asked(engine: Engine, tmp_path: Path) -> None:
    with LoadedPeer(engine, sys.executable, tmp_path / "model", 1, ROOM) as peer:
        assert (peer.name, peer.version, peer.setting) == ("an engine", "1.0", "slow")
        assert peer.prefill([1, 2]) == 2.0
        peer.tune(lambda: peer.prefill([1, 2]))
        assert peer.setting == "fast"
        assert peer.decode([[1], [2]], 3) == 6.0
        with pytest.raises(MachineError, match="too long"):
            peer.prefill([0] * 100)
        assert peer.prefill([1]) == 1.0


def test_a_peer_that_ends_or_hangs(engine: Engine, tmp_path: Path) -> None:
    model = tmp_path / "model"
    with (
        LoadedPeer(engine, sys.executable, model, 1, ROOM) as peer,
        pytest.raises(MachineError, match=r"its process ended \(3\)"),
    ):
        peer.decode([[1]], 666)
    with (
        LoadedPeer(engine, sys.executable, model, 1, ROOM, limit=1.0) as peer,
        pytest.raises(MachineError, match="no answer within 1 s"),
    ):
        peer.decode([[1]], 777)


def test_a_peer_that_is_not_installed_says_how(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="needs no-such-engine") as caught:
        LoadedPeer(engine, sys.executable, tmp_path / "absent", 1, ROOM)
    assert "pip install no-such-engine" in str(caught.value)


@pytest.mark.skipif(find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed")
def test_llama_cpp_runs_a_random_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path))
    source = resolve("random:tiny-llama@q4_0")
    prompts = [[1, 2, 3, 4], [5, 6, 7, 8]]
    with LoadedPeer(LLAMA_CPP, sys.executable, source.path, 1, Room(64, 2)) as llama:
        for _ in range(2):  # behind prompts that are new, and behind those that are there
            assert llama.decode(prompts, 4) > 0
        assert llama.prefill(prompts[0]) > 0
        llama.tune(lambda: llama.decode(prompts, 4))
        assert "flash attention" in llama.setting
    with pytest.raises(MachineError, match="cannot load"):
        LoadedPeer(LLAMA_CPP, sys.executable, tmp_path / "nothing.gguf", 1, ROOM)
