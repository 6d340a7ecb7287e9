"""An engine in a process of its own: commands on stdin, replies on stdout, one JSON a line.

    python -P serve.py ENGINE.py

The first command loads a model; each further one names a method of the engine and its arguments.
An engine is a class `Engine` with `version`, `options` (names of its settings, best guess first),
`choose(option)`, `prefill(tokens)` and `decode(prompts, steps)`; the last two give seconds.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

METHODS = ("choose", "prefill", "decode")


def _load(path: str, command: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    spec = spec_from_file_location("headrace_peer", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    engine = module.Engine(**command)
    return engine, {"version": engine.version, "options": engine.options}


def _answer(engine: Any, command: dict[str, Any]) -> dict[str, Any]:
    name = command.pop("do")
    if name not in METHODS:
        raise ValueError(f"no such command: {name}")
    return {"seconds": getattr(engine, name)(**command)}


def main() -> None:
    """Load on the first command, run on each further one, end with the input."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not mix with the replies
    engine: Any = None
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if engine is None:
                engine, reply = _load(sys.argv[1], command)
            else:
                reply = _answer(engine, command)
        except Exception as error:
            name = type(error).__name__
            reply = {"error": str(error) or name, "missing": isinstance(error, ImportError)}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
