"""The load: streams of requests, made and recorded by aiperf in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace.bench.peers.pythons import Installed
from headrace.bench.serving.records import Load, read_records
from headrace.errors import MachineError, RequestError

PACKAGE = "aiperf"
LIMIT_S = 200.0
#: aiperf wants a tokenizer, though the servers count: this one knows no word.
_TOKENIZER: Mapping[str, Mapping[str, object]] = {
    "tokenizer.json": {
        "version": "1.0",
        "added_tokens": list[object](),
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": {"?": 0}, "unk_token": "?"},
    },
    "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"},
}
_RECORDS = "profile_export.jsonl"


@dataclass(frozen=True, slots=True)
class Streams:
    """What is asked of a server.

    Attributes:
        prompts: one a request, each sent once. streams: requests under way at a time.
        tokens: of each answer, chosen greedily, stop tokens ignored.
    """

    prompts: Sequence[str]
    streams: int
    tokens: int


class Generator:
    """Runs aiperf: one process that sends, with one that evaluates.

    Args:
        installed: the packages of each Python that may have it.

    Raises:
        RequestError: none has it.
    """

    def __init__(self, installed: Installed) -> None:
        found = (python for python, packages in installed.items() if PACKAGE in packages)
        python = next(found, None)
        if python is None:
            raise RequestError(
                f"serving is measured with {PACKAGE}, which is not installed",
                where="--suite",
                hint=f"pip install {PACKAGE} (another Python environment will do), "
                "and name that Python and this one: --peer-python PATH",
            )
        self._program = Path(python).with_name(PACKAGE)

    def run(self, url: str, model: str, streams: Streams) -> Load:
        """Put a server under load.

        Raises:
            MachineError: not all requests were answered, or it took too long.
        """
        with tempfile.TemporaryDirectory(prefix="headrace-load-") as name:
            directory = Path(name)
            command = [str(self._program), *_arguments(url, model, streams, directory)]
            _run(command)
            return read_records(directory / _RECORDS, len(streams.prompts))


def _arguments(url: str, model: str, streams: Streams, directory: Path) -> list[str]:
    prompts = directory / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"text": each}) + "\n" for each in streams.prompts))
    for name, content in _TOKENIZER.items():
        (directory / name).write_text(json.dumps(content))
    body = {"ignore_eos": True, "temperature": 0}
    options = {
        "model": model,
        "url": url,
        "endpoint-type": "completions",
        "tokenizer": str(directory),
        "input-file": str(prompts),
        "custom-dataset-type": "single_turn",
        "dataset-sampling-strategy": "sequential",
        "osl": str(streams.tokens),
        "extra-inputs": json.dumps(body),
        "concurrency": str(streams.streams),
        "request-count": str(len(streams.prompts)),
        "workers-max": "1",
        "record-processors": "1",
        "export-level": "records",
        "artifact-dir": str(directory),
        "ui": "none",
    }
    switches = ["--streaming", "--use-server-token-count", "--no-gpu-telemetry"]
    given = [part for name, value in options.items() for part in (f"--{name}", value)]
    return ["profile", *given, *switches, "--no-server-metrics"]


def _run(command: list[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment.pop("HF_HUB_OFFLINE", None)  # with it, no directory is a tokenizer
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise MachineError(f"{PACKAGE} was not done within {LIMIT_S:.0f} s") from error
    except OSError as error:
        raise RequestError(f"{PACKAGE} cannot be started: {error}", where=command[0]) from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it says nothing"]
        raise MachineError(f"{PACKAGE} has failed ({done.returncode}): {lines[-1]}")
