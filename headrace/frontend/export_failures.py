"""Why torch.export could not follow a model's code, and where, in a few words."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch

from headrace.errors import UnsupportedModelError

#: What torch.export says → what is the matter, what to do about it.
_KNOWN = (
    (
        "specialized it to be a constant",
        "its code takes the number of tokens for a constant",
        "the forward pass must work for any number of tokens, without loops over them",
    ),
    (
        "in the specified range",
        "its code treats some numbers of tokens in another way than others",
        "the forward pass must do the same for any number of tokens",
    ),
    (
        "data-dependent",
        "what its code does depends on the values of tensors",
        "the forward pass must not depend on the values of its inputs",
    ),
)
_OTHER_HINT = "headrace captures decoders that torch.export can follow, one step at a time"
_SOURCE = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>\w+)')


def export_failure(
    error: Exception, module: torch.nn.Module, running: list[str]
) -> UnsupportedModelError:
    """What to tell the user of an error that torch.export raised, or the module's code under it.

    running: the modules whose forward passes had begun, the innermost last.
    """
    text = str(error)
    found = (each for each in _KNOWN if each[0] in text)
    first = f"{type(error).__name__}: {text.strip().splitlines()[0] if text.strip() else ''}"
    _, reason, hint = next(found, ("", first.removesuffix(": "), _OTHER_HINT))
    sources = list(_SOURCE.finditer(text))
    line = f" ({_short(sources[-1])})" if sources else ""
    where = running[-1] if running else type(module).__name__
    return UnsupportedModelError(
        f"torch.export cannot capture the model: {reason}{line}", where=where, hint=hint
    )


def _short(source: re.Match[str]) -> str:
    file = "/".join(source["file"].split("/")[-2:])
    return f"{file}, line {source['line']}, in {source['function']}"


@contextmanager
def followed(module: torch.nn.Module) -> Generator[list[str]]:
    """The paths of the modules whose forward passes are going on, the innermost last.

    After an error those remain in which it was raised.
    """
    running: list[str] = []
    with ExitStack() as hooks:
        for path, part in module.named_modules():
            if path:
                enter = part.register_forward_pre_hook(partial(_enter, running, path))
                leave = part.register_forward_hook(partial(_leave, running))
                hooks.callback(enter.remove)
                hooks.callback(leave.remove)
        yield running


def _enter(running: list[str], path: str, *_: object) -> None:
    running.append(path)


def _leave(running: list[str], *_: object) -> None:
    running.pop()
