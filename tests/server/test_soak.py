"""An hour's worth of mixed requests in ten minutes: nothing goes wrong, nothing is left behind."""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path
from random import Random

import psutil
import pytest

from tests.server.raw import ask
from tests.server.running import Server, engines, serving
from tests.server.soak.load import answers_alone, load
from tests.server.soak.requests import Catalogue

pytestmark = pytest.mark.slow

#: HEADRACE_SOAK_SECONDS is how long requests come, after a warm-up of a fifth of it.
SECONDS = float(os.environ.get("HEADRACE_SOAK_SECONDS", "600"))
CONTEXT = 1024
KV_TOKENS = 4096
#: Sequences that are computed at once would want more keys and values than these in a burst.
OPTIONS = ("--context", str(CONTEXT), "--kv-tokens", str(KV_TOKENS))
SAMPLE_SECONDS = 1.0
GROWTH = 1.02


class Memory(threading.Thread):
    """Resident bytes of the HTTP process and of the engine, once a second until closed."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.processes = [psutil.Process(server.process.pid), *engines(server)]
        self.samples: list[list[int]] = []
        self._closed = threading.Event()

    def run(self) -> None:
        while not self._closed.wait(SAMPLE_SECONDS):
            self.samples.append([each.memory_info().rss for each in self.processes])

    def close(self) -> None:
        self._closed.set()
        self.join()

    def over(self, part: slice) -> list[float]:
        """The mean of each process over a part of the samples."""
        columns = zip(*self.samples[part], strict=True)
        return [sum(column) / len(column) for column in columns]


def metric(server: Server, name: str) -> float:
    text = ask(server.url, "GET", "/metrics").body.decode()
    found = re.search(rf"^{re.escape(name)}{{[^}}]*}} (\S+)$", text, re.M)
    assert found, name
    return float(found[1])


def test_soak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = Random(5)
    with serving(tmp_path / "log", "smollm2", *OPTIONS) as server:
        catalogue = Catalogue("smollm2", CONTEXT, random).draw(int(min(280, max(56, SECONDS / 2))))
        start = time.monotonic()
        alone = answers_alone(server.url, catalogue)
        alone_seconds = time.monotonic() - start
        warm = load(server.url, catalogue, alone, random, SECONDS / 5)
        memory = Memory(server)
        memory.start()
        outcome = load(server.url, catalogue, alone, random, SECONDS)
        memory.close()
        part = max(1, len(memory.samples) // 6)
        before, after = memory.over(slice(0, part)), memory.over(slice(-part, None))
        figures = {
            "alone": f"{len(catalogue)} in {alone_seconds:.0f} s",
            "asked": dict(outcome.asked),
            "requests": outcome.asked.total(),
            "same": outcome.same,
            "left": outcome.left,
            "refused": outcome.refused,
            "wrong": len(outcome.wrong) + len(warm.wrong),
            "MB before": [round(each / 1e6, 1) for each in before],
            "MB after": [round(each / 1e6, 1) for each in after],
            "preemptions": metric(server, "vllm:num_preemptions_total"),
            "generated": metric(server, "vllm:generation_tokens_total"),
        }
        with capsys.disabled():
            print(f"\n{figures}")
        assert not warm.wrong + outcome.wrong, "\n".join((warm.wrong + outcome.wrong)[:8])
        _wait_until_idle(server)
        assert metric(server, "headrace:kv_blocks_used") == 0
        assert psutil.Process(server.process.pid).num_fds() < 100
        for old, new in zip(before, after, strict=True):
            assert new < GROWTH * old
    assert server.process.returncode == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def _wait_until_idle(server: Server) -> None:
    """Clients that went away last are noticed within a step."""
    end = time.monotonic() + 5
    while metric(server, "vllm:num_requests_running") and time.monotonic() < end:
        time.sleep(0.05)
    assert metric(server, "vllm:num_requests_running") == 0
    assert metric(server, "vllm:num_requests_waiting") == 0
