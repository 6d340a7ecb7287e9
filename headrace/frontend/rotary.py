"""Rotary tables that transformers' modules change while they run, held still.

Their `forward` is decorated: with scaling of type "dynamic" it recomputes the frequencies once a
text is longer than the model's context, which headrace never lets it become, so the table at rest
is exact. With "longrope" it takes one of two tables, by the length of the text; a program has both,
and takes one by the context that it is loaded for.
"""

from __future__ import annotations

import inspect
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from headrace.errors import UnsupportedModelError

_CHANGING = ("dynamic", "longrope")


@dataclass(frozen=True, slots=True)
class LongTables:
    """Values of buffers, by their names in the module, for contexts of more than `beyond`."""

    beyond: int
    buffers: Mapping[str, torch.Tensor]


@contextmanager
def still_rotary(module: torch.nn.Module) -> Generator[LongTables | None]:
    """Let rotary modules compute from their tables as they are, meanwhile.

    Raises:
        UnsupportedModelError: they turn to their long tables at different lengths.
    """
    parts = [part for part in module.modules() if _changes_tables(part)]
    for part in parts:
        part.forward = MethodType(inspect.unwrap(type(part).forward), part)
    try:
        yield _long_tables(module)
    finally:
        for part in parts:
            del part.forward


def _changes_tables(part: torch.nn.Module) -> bool:
    is_wrapped = inspect.unwrap(type(part).forward) is not type(part).forward
    return is_wrapped and any(kind in _CHANGING for _, kind in _kinds(part))


def _kinds(part: Any) -> list[tuple[str | None, str]]:
    """The types of scaling of a rotary module, one for all layers or one a type of layer."""
    kind = getattr(part, "rope_type", None)
    if isinstance(kind, str):
        return [(None, kind)]
    return list(kind.items()) if isinstance(kind, dict) else []


def _long_tables(module: torch.nn.Module) -> LongTables | None:
    lengths: set[int] = set()
    buffers: dict[str, torch.Tensor] = {}
    for path, part in module.named_modules():
        for length, name, table in _long_tables_of(part):
            lengths.add(length)
            buffers[f"{path}.{name}" if path else name] = table
    if len(lengths) > 1:
        raise UnsupportedModelError(
            f"rotary tables change at different lengths: {', '.join(map(str, sorted(lengths)))}",
            where=type(module).__name__,
        )
    return LongTables(lengths.pop(), buffers) if lengths else None


def _long_tables_of(part: Any) -> Iterator[tuple[int, str, torch.Tensor]]:
    """The length beyond which a buffer of a module has another value, its name, that value."""
    for layer_type, kind in _kinds(part):
        if kind != "longrope":
            continue
        parameters = part.config.rope_parameters
        if layer_type is not None:
            parameters = parameters[layer_type]
        length = parameters["original_max_position_embeddings"]
        arguments = {} if layer_type is None else {"layer_type": layer_type}
        table, _ = ROPE_INIT_FUNCTIONS[kind](
            part.config, torch.device("cpu"), seq_len=length + 1, **arguments
        )
        name = "inv_freq" if layer_type is None else f"{layer_type}_inv_freq"
        yield length, name, table
