"""Rotary position embedding, in whatever way the rotation of the two halves is written.

With x = (x0, x1) the halves of a head, a rotation is
    y0 = a x0 + b x1,    y1 = c x0 + d x1,    a = d = scale cos, c = -b = scale sin,
where a, b, c and d are tables made from positions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.fx import Node

from headrace.frontend import positions
from headrace.frontend.emitter import Emitter
from headrace.frontend.frequencies import Frequencies, Reals, fit_frequencies
from headrace.frontend.match import factors, half_of, is_last, same_pair
from headrace.frontend.rules import CannotLowerError, Rule, structure
from headrace.frontend.trace import Trace, arguments, aten, is_call, shape_of
from headrace.frontend.values import Value
from headrace.ir.attention_ops import RopeOp


@dataclass(frozen=True, slots=True)
class _Term:
    """`sign * table * half` of one result half; `columns` of the table, None for all."""

    sign: int
    table: Node
    columns: int | None = None


@dataclass(frozen=True, slots=True)
class _Rotation:
    """The coefficients a, b, c, d of x."""

    input: Node
    terms: tuple[_Term, _Term, _Term, _Term]


@structure(aten.add.Tensor, aten.cat.default)
def rope(trace: Trace, node: Node) -> Rule | None:
    rotation = next((found for find in _FORMS for found in find(trace, node)), None)
    if rotation is None:
        return None
    try:
        frequencies = _frequencies(trace, rotation)
    except CannotLowerError as error:
        error.inputs = (rotation.input,)
        raise

    def emit(emitter: Emitter, values: tuple[Value, ...]) -> Value:
        (input,) = values
        if len(input.features) != 2 or input.axes[-1].index != 2:
            raise CannotLowerError("a rotation of something else than [T, heads, head]")
        table = emitter.table(frequencies)
        rotated = RopeOp(input.ssa, emitter.positions, [table])
        return Value(emitter.emit(rotated, f"{input.ssa.name_hint}_rotated"), input.axes)

    return Rule((rotation.input,), emit)


def _with_rotated_half(trace: Trace, node: Node) -> Iterator[_Rotation]:
    """`x * cos + cat(-x1, x0) * sin`."""
    for straight, crossed in same_pair(trace, node, aten.add.Tensor):
        for x, cos in factors(trace, straight):
            for turned, sin in factors(trace, crossed):
                if (
                    trace.is_constant(cos)
                    and trace.is_constant(sin)
                    and _turned(trace, turned) is x
                ):
                    terms = _Term(1, cos, 0), _Term(-1, sin, 0), _Term(1, sin, 1), _Term(1, cos, 1)
                    yield _Rotation(x, terms)


def _turned(trace: Trace, node: object) -> Node | None:
    """x of `cat(-x1, x0)`."""
    parts = _concatenated(trace, node)
    if parts is None or not is_call(parts[0], aten.neg.default):
        return None
    second, first = half_of(trace, parts[0].args[0]), half_of(trace, parts[1])
    if first is None or second is None or (first[1], second[1]) != (0, 1):
        return None
    return first[0] if first[0] is second[0] else None


def _half_by_half(trace: Trace, node: Node) -> Iterator[_Rotation]:
    """`cat(x0 * cos - x1 * sin, x1 * cos + x0 * sin)`, with any order and signs."""
    parts = _concatenated(trace, node)
    if parts is None:
        return
    terms: dict[tuple[int, int], _Term] = {}
    wholes: set[Node] = set()
    for row, part in enumerate(parts):
        for sign, product in _sum(trace, part, 1):
            for half, table in factors(trace, product):
                found = half_of(trace, half)
                if found is not None and trace.is_constant(table):
                    wholes.add(found[0])
                    terms[row, found[1]] = _Term(sign, table)
    if len(terms) == 4 and len(wholes) == 1:
        yield _Rotation(wholes.pop(), (terms[0, 0], terms[0, 1], terms[1, 0], terms[1, 1]))


_FORMS = (_with_rotated_half, _half_by_half)


def _concatenated(trace: Trace, node: object) -> tuple[Node, Node] | None:
    """The two parts of a concatenation along the last dimension."""
    if not is_call(node, aten.cat.default):
        return None
    given = arguments(node)
    if len(given["tensors"]) != 2 or not is_last(node, given["dim"]):
        return None
    first, second = (trace.source(part) for part in given["tensors"])
    return first, second


def _sum(trace: Trace, node: Node, sign: int) -> list[tuple[int, Node]]:
    """The two signed terms of a sum or a difference."""
    if not is_call(node, aten.add.Tensor, aten.sub.Tensor) or node.kwargs:
        return []
    second = sign if is_call(node, aten.add.Tensor) else -sign
    signed = zip((sign, second), node.args, strict=True)
    return [_without_minus(trace, each, trace.source(term)) for each, term in signed]


def _without_minus(trace: Trace, sign: int, node: Node) -> tuple[int, Node]:
    if is_call(node, aten.neg.default):
        return -sign, trace.source(node.args[0])
    return sign, node


def _frequencies(trace: Trace, rotation: _Rotation) -> Frequencies:
    pairs = shape_of(rotation.input)[-1] // 2
    asked, a = _table(trace, rotation, rotation.terms[0], pairs)
    b, c, d = (_table(trace, rotation, term, pairs)[1] for term in rotation.terms[1:])
    fitted = None
    if np.array_equal(a, d) and np.array_equal(b, -c):
        fitted = fit_frequencies(asked, a, c)
    if fitted is None:
        raise CannotLowerError(
            "a rotation whose cosines and sines are not of position * frequency in float32",
            "make the rotary table in float32, with frequencies that depend on no position",
        )
    return fitted


def _table(
    trace: Trace, rotation: _Rotation, term: _Term, pairs: int
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], Reals]:
    """A coefficient's values [positions, pairs]."""
    asked, values = positions.evaluate(trace, term.table)
    _require_alignment(shape_of(term.table), shape_of(rotation.input))
    table = values.reshape(len(asked), -1).to(torch.float32).numpy()
    if term.columns is not None:
        table = table[:, term.columns * pairs : (term.columns + 1) * pairs]
    if table.shape[1] != pairs:
        raise CannotLowerError("a rotation of a part of the head")
    return asked, term.sign * table


def _require_alignment(
    table: tuple[int | torch.SymInt, ...], input: tuple[int | torch.SymInt, ...]
) -> None:
    """The table must have one row a token, where the rotated tensor has its tokens."""

    def tokens(shape: tuple[int | torch.SymInt, ...]) -> list[int]:
        return [index - len(shape) for index, size in enumerate(shape) if not isinstance(size, int)]

    others = [size for size in table[:-1] if isinstance(size, int)]
    if tokens(table) != tokens(input) or any(size != 1 for size in others):
        raise CannotLowerError("a rotation whose table is not one row a token")
