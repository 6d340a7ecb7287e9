"""What a stage is, read from its region: the questions that passes, interpreter and code ask.

A product stage has a *prologue* (row-wise operators that feed its products, computed in full by
every worker), *products* (linears with one common input), and an *epilogue* (operators on the
output rows that a worker owns). Everything here follows from the region alone; only what workers
have of a value, and where it lives, needs the stage's shard.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from xdsl.ir import BlockArgument, Operation, OpResult, SSAValue

from headrace.errors import ProgramError
from headrace.ir.attention_ops import AppendOp, AttentionOp, RopeOp
from headrace.ir.mapping_ops import LoopOp, StageOp
from headrace.ir.model_ops import EmbeddingOp, LinearOp, MapOp, NormOp, ReshapeOp, SampleOp
from headrace.ir.program_ops import WeightOp, YieldOp
from headrace.ir.shapes import features_of, weight_shape
from headrace.ir.types import CacheType

Kind = Literal["product", "attention", "embedding", "sample", "rowwise"]
Access = Literal["all", "own"]
Storage = Literal["shared", "partial", "private", "cache", "input"]

#: The number of rows that every epilogue can take at once, where heads do not ask for another.
ROW_UNIT = 32


@dataclass(frozen=True, slots=True)
class Segment:
    """Linears of a stage whose results meet in one `map`, or one linear alone.

    Attributes:
        linears: in order of appearance; all have the same number of rows.
        unit_rows: rows of each linear that a worker takes together.
        units: the number of units; the last may hold fewer rows.
    """

    linears: tuple[LinearOp, ...]
    unit_rows: int
    units: int

    @property
    def rows(self) -> int:
        """Rows of each linear."""
        return weight_shape(self.linears[0].weight)[0]


def stage_name(stage: StageOp) -> str:
    return stage.sym_name.data


def stage_ops(stage: StageOp) -> Iterator[Operation]:
    """The stage's operators in order, without weights and the final yield."""
    return (op for op in stage.block.ops if not isinstance(op, WeightOp | YieldOp))


def stage_kind(stage: StageOp) -> Kind:
    """What the stage is built around."""
    kinds: tuple[tuple[type[Operation], Kind], ...] = (
        (SampleOp, "sample"),
        (AttentionOp, "attention"),
        (LinearOp, "product"),
        (EmbeddingOp, "embedding"),
    )
    ops = tuple(stage_ops(stage))
    for op_type, kind in kinds:
        if any(isinstance(op, op_type) for op in ops):
            return kind
    return "rowwise"


def appends(stage: StageOp) -> bool:
    """Whether the stage appends keys and values to the KV cache."""
    return any(isinstance(op, AppendOp) for op in stage_ops(stage))


def append_of(attention: AttentionOp) -> AppendOp:
    """The append that fills the cache an attention reads.

    Raises:
        ProgramError: there is none in its layer.
    """
    value = attention.cache
    if isinstance(value, OpResult) and isinstance(value.op, StageOp):
        value = value.op.yielded[value.index]
    owner = value.owner
    if not isinstance(owner, AppendOp):
        raise ProgramError("attention must read a cache that an append of its layer returns")
    return owner


def keeps_rows(op: Operation) -> bool:
    """Whether an operator computes a worker's rows from the same rows of its inputs alone."""
    if isinstance(op, NormOp):
        return len(features_of(op.input)) == 2
    return isinstance(op, MapOp | ReshapeOp | RopeOp | AppendOp)


def sources(stage: StageOp) -> dict[SSAValue, frozenset[LinearOp]]:
    """The linears from which each value of the epilogue (and each product) comes."""
    found: dict[SSAValue, frozenset[LinearOp]] = {}
    for op in stage_ops(stage):
        if isinstance(op, LinearOp):
            found[op.result] = frozenset([op])
            continue
        linears = frozenset[LinearOp]().union(*(found.get(v, ()) for v in op.operands))
        if linears:
            _require_row_local(stage, op)
            found[op.results[0]] = linears
    return found


def _require_row_local(stage: StageOp, op: Operation) -> None:
    if not keeps_rows(op):
        raise ProgramError(
            f"{op.name} needs rows of a product that another worker owns, in the product's stage",
            where=f"stage @{stage_name(stage)}",
        )


def prologue(stage: StageOp) -> tuple[Operation, ...]:
    """The row-wise operators that every worker computes in full, in order."""
    owned = sources(stage)
    return tuple(op for op in stage_ops(stage) if op.results[0] not in owned)


def epilogue(stage: StageOp) -> tuple[Operation, ...]:
    """The operators on a worker's own rows, in order."""
    owned = sources(stage)
    return tuple(
        op for op in stage_ops(stage) if op.results[0] in owned and not isinstance(op, LinearOp)
    )


def segments(stage: StageOp) -> tuple[Segment, ...]:
    """The stage's segments, in order of appearance of their first linears.

    Raises:
        ProgramError: linears with different numbers of rows meet in one map.
    """
    owned = sources(stage)
    groups = [(op,) for op in stage_ops(stage) if isinstance(op, LinearOp)]
    for op in stage_ops(stage):
        if isinstance(op, MapOp) and op.result in owned:
            groups = _joined(groups, owned[op.result])
    return tuple(_segment(stage, group, owned) for group in groups)


def _joined(
    groups: list[tuple[LinearOp, ...]], together: frozenset[LinearOp]
) -> list[tuple[LinearOp, ...]]:
    """The groups, those with a member of `together` made one at the place of the first."""
    touched = [group for group in groups if together.intersection(group)]
    union = tuple(linear for group in touched for linear in group)
    return [
        union if group is touched[0] else group
        for group in groups
        if group is touched[0] or group not in touched
    ]


def _segment(
    stage: StageOp, linears: tuple[LinearOp, ...], owned: dict[SSAValue, frozenset[LinearOp]]
) -> Segment:
    rows = weight_shape(linears[0].weight)[0]
    if any(weight_shape(linear.weight)[0] != rows for linear in linears):
        raise ProgramError(
            "linears with different numbers of rows meet in one map",
            where=f"stage @{stage_name(stage)}",
        )
    unit_rows = _unit_rows(rows, max(_heads(linears, owned), default=None))
    return Segment(linears, unit_rows, -(-rows // unit_rows))


def row_heads(stage: StageOp, linears: tuple[LinearOp, ...]) -> frozenset[int]:
    """The sizes of the heads to which results of these linears are reshaped, in rows."""
    return _heads(linears, sources(stage))


def _heads(
    linears: tuple[LinearOp, ...], owned: dict[SSAValue, frozenset[LinearOp]]
) -> frozenset[int]:
    return frozenset(
        features_of(value)[1]
        for value, origin in owned.items()
        if origin.intersection(linears)
        and isinstance(value.owner, ReshapeOp)
        and len(features_of(value)) == 2
    )


def _unit_rows(rows: int, head: int | None) -> int:
    if head is None:
        return ROW_UNIT
    heads = rows // head
    whole = (g for g in range(1, heads + 1) if heads % g == 0 and head * g % ROW_UNIT == 0)
    return head * next(whole, 1)


def has_axis(stage: StageOp, *axes: str) -> bool:
    """Whether a stage is sharded along one of these axes."""
    return stage.shard is not None and stage.shard.data.axis in axes


def segment_of(stage: StageOp, value: SSAValue) -> Segment | None:
    """The segment whose rows a value inside of the stage has; None if it is no product's."""
    linears = sources(stage).get(value)
    if linears is None or isinstance(value.type, CacheType):
        return None
    return next(each for each in segments(stage) if linears <= set(each.linears))


def outer_values(stage: StageOp) -> tuple[SSAValue, ...]:
    """The values from outside that the region uses, in order of first use."""
    used = (value for op in stage.block.ops for value in op.operands)
    return tuple(dict.fromkeys(value for value in used if not _is_inside(stage, value)))


def _is_inside(stage: StageOp, value: SSAValue) -> bool:
    owner = value.owner
    return isinstance(owner, Operation) and owner.parent is stage.block


def readers(stage: StageOp, value: SSAValue) -> tuple[Operation, ...]:
    """The stage's operators (its yield too) that use a value, in order."""
    return tuple(op for op in stage.block.ops if any(each is value for each in op.operands))


def access(stage: StageOp, value: SSAValue) -> Access:
    """How a worker reads a value from outside: all of it, or only the rows it owns itself."""
    owned = sources(stage)
    for op in readers(stage, value):
        if not (isinstance(op, MapOp) and op.result in owned):
            return "all"
    return "own"


def storage(value: SSAValue) -> Storage:
    """Where a value that stages exchange lives; see `BufferAttr`. "input": the program's own.

    An embedding or row-wise stage can leave its result in either way: it follows the loop that
    the result enters; but one that appends is shared out by tokens, and so are its results.

    Raises:
        ProgramError: a loop passes one carried value on as another.
    """
    owner = value.owner
    if isinstance(value.type, CacheType):
        return "cache"
    if isinstance(value, OpResult) and isinstance(owner, LoopOp):
        return carried_storage(owner, value.index)
    if isinstance(value, OpResult) and isinstance(owner, StageOp):
        return _result_storage(owner, value)
    if isinstance(value, BlockArgument):
        parent = value.block.parent_op()
        return carried_storage(parent, value.index) if isinstance(parent, LoopOp) else "input"
    raise ProgramError("a value outside of stages has no storage", where=f"{value}")


def carried_storage(loop: LoopOp, index: int) -> Storage:
    """Where a loop-carried value lives: where its yield does."""
    last = loop.block.last_op
    assert isinstance(last, YieldOp)
    value = last.values[index]
    if isinstance(value, BlockArgument):
        raise ProgramError(
            "a loop passes a carried value on without computing it", where=f"carried value {index}"
        )
    return storage(value)


def _result_storage(stage: StageOp, result: OpResult) -> Storage:
    kind = stage_kind(stage)
    if kind == "product":
        owned = "partial" if has_axis(stage, "columns") else "shared"
        return owned if stage.yielded[result.index] in sources(stage) else "private"
    if kind == "attention":
        return "shared" if has_axis(stage, "heads") else "partial"
    if kind == "sample" or appends(stage):
        return "shared"
    return _entered(result) or ("shared" if kind == "embedding" else "private")


def _entered(result: OpResult) -> Storage | None:
    """The storage of the loop-carried value that starts as this result."""
    for use in result.uses:
        if isinstance(use.operation, LoopOp):
            return carried_storage(use.operation, use.index)
    return None


def is_private(result: SSAValue) -> bool:
    """Whether each worker computes a copy of the value for itself."""
    return storage(result) == "private"
