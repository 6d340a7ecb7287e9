"""headrace: an LLM inference engine that compiles a PyTorch language model into one program.

import headrace

with headrace.load("smollm2") as model:
    for text in model.chat([{"role": "user", "content": "Why is the sky blue?"}]):
        print(text, end="", flush=True)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.api import Model, compile, load
    from headrace.engine.batch import BatchGeneration
    from headrace.engine.generation import Generation
    from headrace.errors import HeadraceError

__all__ = ["BatchGeneration", "Generation", "HeadraceError", "Model", "compile", "load"]

#: Where each public name is defined; importing headrace alone costs nothing.
_HOMES = {
    "BatchGeneration": "headrace.engine.batch",
    "Generation": "headrace.engine.generation",
    "HeadraceError": "headrace.errors",
    "Model": "headrace.api",
    "compile": "headrace.api",
    "load": "headrace.api",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'headrace' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
