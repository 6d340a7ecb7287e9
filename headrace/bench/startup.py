"""How long a second start takes: from the command to the first text."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from time import perf_counter

from headrace.build import Options
from headrace.errors import MachineError

PROMPT = "Hi"


def warm_start(model: str, options: Options) -> float:
    """Seconds until `headrace run` of a compiled model shows its first text.

    Raises:
        MachineError: the command fails; the message ends with what it said.
    """
    command = [sys.executable, "-m", "headrace", "run", model, PROMPT, "--raw", "--max-tokens", "1"]
    choices = ["--threads", str(options.workers), "--weights", options.weights]
    choices += ["--kv", options.kv]
    limit = () if options.isa is None else ("--isa", options.isa)
    return first_output([*command, *choices, *limit])


def first_output(command: Sequence[str]) -> float:
    """Seconds until a command writes its first byte, or ends in success without one.

    Raises:
        MachineError: the command fails.
    """
    begin = perf_counter()
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        seconds = perf_counter() - begin
        _, errors = process.communicate()
    if process.returncode:
        raise _failed(command, errors.decode(errors="replace"))
    return seconds


def _failed(command: Sequence[str], errors: str) -> MachineError:
    last = "\n".join(errors.strip().splitlines()[-5:])
    return MachineError(f"a command to be timed failed:\n{last}", where=" ".join(command))
