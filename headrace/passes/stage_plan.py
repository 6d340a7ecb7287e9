"""Which operators run fused: the stages of one block, decided before anything is moved."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from xdsl.ir import Block, Operation, SSAValue

from headrace.ir.attention_ops import AppendOp, AttentionOp
from headrace.ir.mapping_ops import LoopOp
from headrace.ir.model_ops import (
    EmbeddingOp,
    LinearOp,
    MapOp,
    ReshapeOp,
    SampleOp,
    SelectOp,
)
from headrace.ir.program_ops import WeightOp
from headrace.ir.stages import keeps_rows
from headrace.passes.programs import row_sources
from headrace.passes.weight_types import weight_type

Kind = Literal["product", "attention", "embedding", "sample", "rowwise", "loop"]

_ANCHORS: tuple[tuple[type[Operation], Kind], ...] = (
    (LinearOp, "product"),
    (AttentionOp, "attention"),
    (EmbeddingOp, "embedding"),
    (SampleOp, "sample"),
    (LoopOp, "loop"),
)


@dataclass(slots=True)
class Group:
    """One future stage, or a loop that stays as it is.

    prologue: operators computed in full by every worker; body: all others. Both in program order.
    """

    kind: Kind
    prologue: list[Operation] = field(default_factory=list[Operation])
    body: list[Operation] = field(default_factory=list[Operation])

    def ops(self) -> tuple[Operation, ...]:
        return (*self.prologue, *self.body)

    def owns(self, value: SSAValue) -> bool:
        """Whether a worker has its own rows of the value when the body has run."""
        return isinstance(value.owner, Operation) and value.owner in self.body

    def takes(self, op: Operation, late: Sequence[SSAValue]) -> bool:
        """Whether a row-wise operator joins the body; `late` are the inputs it waited for."""
        if not all(self.owns(value) for value in late):
            return False
        if self.kind == "product":
            return keeps_rows(op) and (not isinstance(op, AppendOp) or self._appends(op))
        if self.kind == "attention":
            return isinstance(op, ReshapeOp)
        elementwise = isinstance(op, MapOp) and all(self.owns(each) for each in op.inputs)
        return self.kind == "embedding" and elementwise

    def _appends(self, op: AppendOp) -> bool:
        return self.owns(op.key) and self.owns(op.value)


def plan_stages(block: Block, alone: frozenset[LinearOp] = frozenset()) -> tuple[Group, ...]:
    """The stages of a block in order; every operator that is used is in just one of them.

    alone: products whose results are sums that their readers add up, so that no epilogue can have
        them: what would be theirs belongs to the readers.
    """
    plan = _Plan(block, alone)
    for op in plan.ops:
        plan.assign(op)
    return plan.with_floating()


class _Plan:
    """Groups in order, and for each value the last group that it has to wait for (-1: none)."""

    def __init__(self, block: Block, alone: frozenset[LinearOp]) -> None:
        last = block.last_op
        self.block, self.alone = block, alone
        self.ops = [op for op in block.ops if not isinstance(op, WeightOp) and op is not last]
        self.groups: list[Group] = []
        self.levels: dict[SSAValue, int] = {}
        self.apart = frozenset(_zipped_apart(self.ops))
        self.by_input: dict[tuple[Hashable, ...], int] = {}
        self.homes: dict[Operation, int] = {}
        self.floating: list[Operation] = []

    def assign(self, op: Operation) -> None:
        """Give an operator its group, or note that it floats until someone needs it."""
        level = max((self.levels.get(value, -1) for value in op.operands), default=-1)
        kind = _anchor_kind(op)
        if kind is not None:
            level = self._anchor(op, kind)
        elif level >= 0 and self._joins(op, level):
            self._join(op, level)
        else:
            self.floating.append(op)
        for result in op.results:
            self.levels[result] = level

    def _joins(self, op: Operation, level: int) -> bool:
        """Whether a row-wise operator is part of the last group that it has to wait for."""
        late = [value for value in op.operands if self.levels.get(value, -1) == level]
        of_sums = any(value.owner in self.alone for value in op.operands)
        return not of_sums and self.groups[level].takes(op, late)

    def _anchor(self, op: Operation, kind: Kind) -> int:
        home = len(self.groups)
        if isinstance(op, LinearOp | EmbeddingOp):
            home = self.by_input.setdefault(self._input(op), home)
        if home == len(self.groups):
            self.groups.append(Group(kind))
        self._join(op, home)
        return home

    def _input(self, op: LinearOp | EmbeddingOp) -> tuple[Hashable, ...]:
        """Equal for linears of one stage: they take one value in one form; and for embeddings."""
        if isinstance(op, EmbeddingOp):
            return (EmbeddingOp,)
        return op.input, op.activation, weight_type(op.weight).format if op in self.apart else None

    def _join(self, op: Operation, home: int) -> None:
        self.groups[home].body.append(op)
        self.homes[op] = home

    def with_floating(self) -> tuple[Group, ...]:
        """All groups, each floating operator in the earliest group that needs it.

        Products take it into their prologue. Before others (attention, sampling, a loop, the end
        of the block) a row-wise stage of its own computes it; so does one before a product whose
        prologue selects rows of it, since a stage works on all rows or on those selected, and
        before one whose epilogue needs it, since that sees a worker's own rows alone. The append
        of keys that need other workers' rows first (normalised over all heads) is one.
        """
        rowwise: dict[int, Group] = {}
        for op in reversed(self.floating):
            home = self._earliest_user(op)
            if home is None:
                continue
            self.homes[op] = home
            before = rowwise.get(home, Group("rowwise"))
            group = self.groups[home] if home < len(self.groups) else before
            if group.kind == "product" and not _is_needed_before(op, [*before.body, *group.body]):
                group.prologue.insert(0, op)
            else:
                before.body.insert(0, op)
                rowwise[home] = before
        return tuple(self._merged(rowwise))

    def _merged(self, rowwise: dict[int, Group]) -> Iterator[Group]:
        for home, group in enumerate([*self.groups, None]):
            if home in rowwise:
                yield rowwise[home]
            if group is not None:
                yield group

    def _earliest_user(self, op: Operation) -> int | None:
        """The group of the first user, the number of groups for the block's end, None if unused."""
        users = (use.operation for result in op.results for use in result.uses)
        homes = [self._home(enclosing_op(self.block, user)) for user in users]
        return min((home for home in homes if home is not None), default=None)

    def _home(self, user: Operation) -> int | None:
        return len(self.groups) if user is self.block.last_op else self.homes.get(user)


def _is_needed_before(op: Operation, by: Sequence[Operation]) -> bool:
    """Whether a product's prologue cannot compute an operator: what `by` does needs it before."""
    users = [use.operation for result in op.results for use in result.uses]
    return any(
        isinstance(user, SelectOp) or (user in by and not isinstance(user, LinearOp))
        for user in users
    )


def _zipped_apart(ops: Sequence[Operation]) -> Iterator[LinearOp]:
    """Linears that meet others of their input, but of another weight format, in a map.

    A worker reads zipped rows unit by unit with one kernel, so these cannot be zipped.
    """
    sources = row_sources(ops)
    for op in ops:
        if isinstance(op, MapOp):
            by_input: dict[SSAValue, list[LinearOp]] = {}
            for linear in sources[op.result]:
                by_input.setdefault(linear.input, []).append(linear)
            for linears in by_input.values():
                if len({weight_type(linear.weight).format for linear in linears}) > 1:
                    yield from linears


def _anchor_kind(op: Operation) -> Kind | None:
    for op_type, kind in _ANCHORS:
        if isinstance(op, op_type):
            return kind
    return None


def enclosing_op(block: Block, op: Operation) -> Operation:
    """The operator of `block` that is `op` or holds it."""
    while op.parent is not block:
        parent = op.parent_op()
        assert parent is not None
        op = parent
    return op
