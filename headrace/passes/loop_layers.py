"""loop-layers (KernelLooping): calls of the same layer become one loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, ModuleOp, SymbolRefAttr
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint

from headrace.errors import ProgramError
from headrace.ir.attention_ops import AppendOp
from headrace.ir.literals import IntsAttr
from headrace.ir.mapping_ops import LoopOp
from headrace.ir.program_ops import WeightOp, YieldOp
from headrace.ir.types import WeightType
from headrace.passes.layer_pattern import Carried, Indexed, Inside, Local, Operand, Pattern, prove
from headrace.passes.programs import erase_unused_weights, program_of
from headrace.passes.repetition import INDEXED, Run, runs
from headrace.passes.still_layers import table_sizes, turn_still_layers


@dataclass(frozen=True)
class LoopLayersPass(ModulePass):
    """Roll repeated layers into `step.loop`.

    Before: a straight program (loops that are there already stay as they are).
    After: where operators repeat at least twice, with the same structure and types, and each
        operand is carried from trip to trip, invariant, computed in the trip, or a weight whose
        name differs in one number, one loop stands. What differs between trips is a table with
        one entry a trip: weight layers, cache layers, windows, rotary tables. The repetition that
        covers most operators is rolled first, then what is left, as long as there is one. Where
        only some layers rotate queries and keys, the others do it by angles of zero.
    Leaves alone: everything outside of the repetitions; a model of one layer stays straight.

    Raises:
        ProgramError: an operator outside of loops has a table of several trips.
    """

    name = "loop-layers"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        block = program_of(op).block
        turn_still_layers(op)
        sizes = table_sizes(op)
        while (pattern := _best_pattern(_computing(block), sizes)) is not None:
            _roll(_computing(block), pattern)
            erase_unused_weights(block)


def _computing(block: Block) -> tuple[Operation, ...]:
    ops = tuple(op for op in block.ops if not isinstance(op, WeightOp) and op is not block.last_op)
    for op in ops:
        _require_one_entry(op)
    return ops


def _require_one_entry(op: Operation) -> None:
    table = INDEXED.get(type(op))
    if table is not None and len(_entries(op, table)) != 1:
        raise ProgramError(
            f"{op.name}: '{table}' has several entries outside of a loop, where it needs one",
            where=str(op),
        )


def _best_pattern(ops: Sequence[Operation], sizes: Mapping[str, int]) -> Pattern | None:
    for run in runs(ops, sizes):
        if proven := _fewest_carried(ops, run):
            return proven
    return None


def _fewest_carried(ops: Sequence[Operation], run: Run) -> Pattern | None:
    patterns = (prove(ops, start, run.period, run.trips) for start in run.starts)
    return min(filter(None, patterns), key=lambda each: len(each.carried), default=None)


def _roll(ops: Sequence[Operation], pattern: Pattern) -> None:
    """Replace the calls by a loop."""
    size = pattern.period * pattern.trips
    calls = ops[pattern.start : pattern.start + size]
    carried = pattern.carried
    loop = LoopOp(pattern.trips, [each.init for each in carried], Region(_body(calls, pattern)))
    Builder(InsertPoint.before(calls[0])).insert(loop)
    last = calls[size - pattern.period :]
    for each, result in zip(carried, loop.results_, strict=True):
        local, number = each.source
        last[local].results[number].replace_all_uses_with(result)
    for op in reversed(calls):
        op.detach()
        op.erase()


def _body(calls: Sequence[Operation], pattern: Pattern) -> Block:
    carried = pattern.carried
    block = Block(arg_types=[each.init.type for each in carried])
    for argument, each in zip(block.args, carried, strict=True):
        local, number = each.source
        argument.name_hint = calls[local].results[number].name_hint
    layer = _Layer(
        Builder(InsertPoint.at_end(block)), dict(zip(carried, block.args, strict=True)), {}
    )
    for local, operands in enumerate(pattern.operands):
        layer.add(local, calls[local :: pattern.period], operands)
    layer.builder.insert(YieldOp([layer.values[each.source] for each in carried]))
    return block


@dataclass(frozen=True, slots=True)
class _Layer:
    """The loop's body as it grows: its arguments, and the values computed so far."""

    builder: Builder
    arguments: dict[Carried, SSAValue]
    values: dict[Local, SSAValue]

    def add(self, local: int, calls: Sequence[Operation], operands: Sequence[Operand]) -> None:
        values = [
            self._value(operand, old)
            for operand, old in zip(operands, calls[0].operands, strict=True)
        ]
        op = calls[0].clone()
        op.operands = values
        _set_table(op, calls)
        self.builder.insert(op)
        for number, result in enumerate(op.results):
            self.values[local, number] = result

    def _value(self, operand: Operand, old: SSAValue) -> SSAValue:
        match operand:
            case Inside(source):
                return self.values[source]
            case Carried():
                return self.arguments[operand]
            case Indexed(name, layers):
                kind = cast("WeightType", old.type)
                weight = self.builder.insert(WeightOp(name, kind, layers)).result
                weight.name_hint = old.name_hint
                return weight
            case _:
                return self._invariant(operand.value)

    def _invariant(self, value: SSAValue) -> SSAValue:
        if not isinstance(value.owner, WeightOp):
            return value
        return self.builder.insert(value.owner.clone()).result


def _set_table(op: Operation, calls: Sequence[Operation]) -> None:
    """Give an indexed attribute its entries: one for all trips, or one a trip."""
    table = INDEXED.get(type(op))
    if table is None:
        return
    entries = [_entries(call, table)[0] for call in calls]
    if len(set(entries)) == 1 and not isinstance(op, AppendOp):
        entries = entries[:1]
    op.properties[table] = _table(entries)


def _entries(op: Operation, table: str) -> Sequence[int | Attribute]:
    attribute = op.properties[table]
    if isinstance(attribute, IntsAttr):
        return attribute.data
    return tuple(cast("ArrayAttr[SymbolRefAttr]", attribute))


def _table(entries: Sequence[int | Attribute]) -> Attribute:
    if isinstance(entries[0], int):
        return IntsAttr.of(cast("Sequence[int]", entries))
    return ArrayAttr(cast("Sequence[SymbolRefAttr]", entries))
