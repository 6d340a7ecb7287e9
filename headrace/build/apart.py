"""Compilation in a process of its own: the memory that PyTorch takes goes back when it ends.

Capturing a model imports PyTorch and transformers, some 0.4 GB that would stay beside the weights.
The child writes one line of JSON for each thing it has to tell, and the parent passes it on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from headrace import errors
from headrace.errors import HeadraceError, MachineError

if TYPE_CHECKING:
    from headrace.build.order import Order
    from headrace.checkpoint.progress import Progress
    from headrace.checkpoint.source import Source

_CHILD = "import sys; sys.path[:] = {path!r}; from headrace.build.apart import serve; serve()"


def pays() -> bool:
    """Whether there is memory to win: not where PyTorch is there already."""
    return "torch" not in sys.modules and bool(sys.executable)


def compile_apart(source: Source, order: Order, entry: Path, report: Progress) -> None:
    """Compile a checkpoint's model into the entry `entry`, in another process.

    Raises:
        HeadraceError: what the other process raised, or MachineError if it did not end by itself.
    """
    told = {"source": asdict(source), "order": asdict(order), "entry": entry}
    command = [sys.executable, "-c", _CHILD.format(path=sys.path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with suppress(BrokenPipeError), process.stdin as channel:  # its status says why
                json.dump(told, channel, default=str)
            for line in process.stdout:
                _pass_on(json.loads(line), report)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise MachineError(
            f"the process that compiles ended with status {process.returncode}",
            where=str(source.path),
            hint="is there memory enough? Otherwise what it wrote above says more",
        )


def _pass_on(told: dict[str, Any], report: Progress) -> None:
    match told["kind"]:
        case "start":
            report.start(told["label"], told["bytes"])
        case "advance":
            report.advance(told["bytes"])
        case "done":
            report.done()
        case _:
            kind = getattr(errors, told["error"])
            raise kind(told["what"], where=told["where"], hint=told["hint"])


class _Teller:
    """Progress that is told to the parent."""

    def __init__(self, channel: TextIO) -> None:
        self._channel = channel

    def start(self, label: str, total_bytes: int | None) -> None:
        self.tell(kind="start", label=label, bytes=total_bytes)

    def advance(self, byte_count: int) -> None:
        self.tell(kind="advance", bytes=byte_count)

    def done(self) -> None:
        self.tell(kind="done")

    def tell(self, **told: object) -> None:
        print(json.dumps(told), file=self._channel, flush=True)


def serve() -> None:
    """The child's work: compile what stdin says, and tell the parent about it on stdout."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent has it too, and ends us
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as channel:
        os.dup2(2, 1)  # what libraries print is not for the parent
        teller = _Teller(channel)
        try:
            _compile(json.load(sys.stdin), teller)
        except HeadraceError as error:
            name = type(error).__name__
            teller.tell(
                kind="error", error=name, what=error.what, where=error.where, hint=error.hint
            )


def _compile(told: dict[str, Any], report: Progress) -> None:
    from headrace.build.compiler import compile_checkpoint
    from headrace.build.options import Options
    from headrace.build.order import Order
    from headrace.checkpoint.source import Source
    from headrace.codegen.target import Target

    found, order = told["source"], told["order"]
    source = Source(found["kind"], Path(found["path"]), found["name"])
    options, target = Options(**order.pop("options")), Target(**order.pop("target"))
    entry = Path(told["entry"])
    compile_checkpoint(source, Order(**order, options=options, target=target), entry, report)
