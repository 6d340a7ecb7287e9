"""Embedding tables, of tokens and of positions."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Node

from headrace.checkpoint.binding import Binding
from headrace.checkpoint.row_view import RowView
from headrace.frontend import positions
from headrace.frontend.emitter import Emitter
from headrace.frontend.rules import CannotLowerError, Rule, operator
from headrace.frontend.trace import Trace, arguments, aten, shape_of
from headrace.frontend.values import ONE, TOKENS, Axis, Value
from headrace.ir.model_ops import EmbeddingOp


@operator(aten.embedding.default)
def embedding(trace: Trace, node: Node) -> Rule:
    given = arguments(node)
    table = trace.parameter(given["weight"])
    if table is None:
        raise CannotLowerError("an embedding whose table is computed, not a parameter")
    if not trace.is_data(given["indices"]):
        return _of_positions(trace, given["indices"], table)

    def emit(emitter: Emitter, values: tuple[Value, ...]) -> Value:
        (indices,) = values
        rows = emitter.emit(EmbeddingOp(indices.ssa, emitter.weight(table)))
        return Value(rows, (*indices.axes, Axis(1)))

    return Rule((given["indices"],), emit)


def _of_positions(trace: Trace, indices: Node, table: str) -> Rule:
    """Learned positions: the table's rows from that of position 0 on."""
    offset = _offset(trace, indices)
    sizes = shape_of(indices)
    context = trace.exported.context
    axes = tuple(TOKENS if isinstance(size, torch.SymInt) else ONE for size in sizes)

    def emit(emitter: Emitter, values: tuple[Value, ...]) -> Value:
        entries = emitter.shape(table)[0]
        if not 0 <= offset <= entries - context:
            raise CannotLowerError(
                f"a table of {entries} positions from {-offset} on, of which the model needs "
                f"{context}"
            )
        views = (RowView(offset, ((context, 1),)),) if offset else ()
        weight = emitter.derived(Binding(table, views))
        return Value(emitter.emit(EmbeddingOp(emitter.positions, weight)), (*axes, Axis(1)))

    return Rule((), emit)


def _offset(trace: Trace, indices: Any) -> int:
    """The number added to each position."""
    asked, values = positions.evaluate(trace, indices)
    offsets = values.reshape(-1) - torch.from_numpy(asked)
    if values.numel() != len(asked) or (offsets != offsets[0]).any():
        raise CannotLowerError("an embedding of something else than token ids or positions")
    return int(offsets[0])
