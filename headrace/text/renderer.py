"""The process that renders chat templates: one JSON request a line in, one JSON reply a line out.

A template comes with the model file and is not trusted. MiniJinja gives it no Python object to
reach through, no file to include and a budget of steps; what it sees is plain JSON data. Only a
process can have a budget of memory, so this file is run as one (`render_process`), by itself: it
imports nothing of headrace.

A request is {"source", "values", "fuel", "longest"}; a reply is {"text"}, or
{"kind", "message", "line"} of what failed.
"""

from __future__ import annotations

import json
import resource
import sys
from datetime import datetime
from typing import Any, NoReturn

import minijinja


def serve(memory: int) -> None:
    """Answer requests until the input ends, with an address space of `memory` bytes."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin.buffer:
        try:
            reply = _render(json.loads(line))
            encoded = json.dumps(reply).encode()
        except MemoryError:
            encoded = b'{"kind": "MemoryError", "message": "", "line": null}'
        sys.stdout.buffer.write(encoded + b"\n")
        sys.stdout.buffer.flush()


def _render(request: dict[str, Any]) -> dict[str, Any]:
    try:
        environment = _environment(request["fuel"])
        text = environment.render_str(request["source"], "chat template", **request["values"])
    except minijinja.TemplateError as error:
        return {"kind": error.kind, "message": error.message, "line": error.line}
    except Exception as error:  # what filters raise of the values they are given
        return {"kind": type(error).__name__, "message": str(error), "line": None}
    if len(text) > request["longest"]:
        return {"kind": "TooLong", "message": "", "line": None}
    return {"text": text}


def _environment(fuel: int) -> minijinja.Environment:
    return minijinja.Environment(
        fuel=fuel,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_escape_callback=lambda _: False,
        globals={"raise_exception": _raise_exception, "strftime_now": _strftime_now},
        filters={"tojson": _to_json},
        tests={"iterable": _is_iterable},
        debug=False,
    )


def _raise_exception(message: object) -> NoReturn:
    """What templates call to refuse a conversation."""
    raise minijinja.TemplateError(str(message))


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)


def _is_iterable(value: object) -> bool:
    """As Jinja has it; MiniJinja counts None in, which templates use to ask for tools."""
    return isinstance(value, str | list | tuple | dict)


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """As transformers writes JSON in templates: with no HTML escapes."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


if __name__ == "__main__":
    serve(int(sys.argv[1]))
