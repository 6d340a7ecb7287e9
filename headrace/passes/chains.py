"""Chains of stages that need no exchange between them: each worker goes on with what it has.

A chain ends in a product by columns: a worker multiplies the columns that are its own features, and
what it gives is a part of every sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import lcm

from xdsl.ir import Operation, OpResult, SSAValue

from headrace.ir.attention_ops import AttentionOp
from headrace.ir.mapping_ops import StageOp
from headrace.ir.model_ops import LinearOp, MapOp, NormOp, ReshapeOp, SelectOp
from headrace.ir.program_ops import YieldOp
from headrace.ir.shapes import features_of, matrix_shape
from headrace.ir.stages import (
    Segment,
    access,
    append_of,
    epilogue,
    outer_values,
    prologue,
    segment_of,
    segments,
    stage_kind,
    stage_ops,
)
from headrace.ir.types import Shard
from headrace.passes.balance import balanced_bounds
from headrace.passes.weight_types import BLOCK_COLS, format_of, packed_row_bytes

#: What may take a product's sums from several workers: it reads whole rows.
_READERS = (MapOp, NormOp, SelectOp, LinearOp)


@dataclass(frozen=True, slots=True)
class Chain:
    """The shards of a chain's stages, the first stage first, the product by columns last.

    saved: exchanges fewer than with each product by rows and attention by context.
    """

    shards: Mapping[StageOp, Shard]
    saved: int

    @property
    def last(self) -> StageOp:
        return tuple(self.shards)[-1]


def attention_chains(stages: Sequence[StageOp], workers: int) -> Iterator[Chain]:
    """Attention by heads with the product that it feeds, and the one of queries, keys and values
    where that has whole heads."""
    for stage in stages:
        source = _source(stage)
        if source is not None and stage_kind(source[0]) == "attention":
            chain = _attention_chain(stage, source[0], workers)
            if chain is not None:
                yield chain


def product_chains(
    stages: Sequence[StageOp], chosen: Mapping[StageOp, Shard], workers: int
) -> Iterator[Chain]:
    """Products of products: of gate and up, and then down.

    chosen: shards that are decided already.
    """
    for stage in stages:
        source = _source(stage)
        if source is not None and stage_kind(source[0]) == "product":
            chain = _product_chain(stage, *source, chosen.get(source[0]), workers)
            if chain is not None:
                yield chain


def joined(chains: Iterable[Chain]) -> dict[StageOp, Shard]:
    """The shards of all stages of some chains."""
    return {stage: shard for chain in chains for stage, shard in chain.shards.items()}


def _is_read_whole(stage: StageOp) -> bool:
    """Whether the first stage that reads a product's outcome can add up sums, in whole rows.

    Another product's epilogue cannot, on its own rows. Blocks side by side end in one: they would
    have one exchange a layer, and nothing that keeps a worker from overwriting its sums while
    another still reads them.
    """
    users = [use.operation.parent_op() for value in stage.results_ for use in value.uses]
    within = [each for each in users if isinstance(each, StageOp)]
    first = min(within, key=_place_in_block, default=None)
    if first is None:
        return True
    read = (value for value in outer_values(first) if value.owner is stage)
    return all(access(first, value) == "all" for value in read)


def _place_in_block(stage: StageOp) -> int:
    assert stage.parent is not None
    return stage.parent.get_operation_index(stage)


def _source(stage: StageOp) -> tuple[StageOp, SSAValue] | None:
    """The stage, and what it yields, that is a product's input, if that can be by columns."""
    linears = [op for op in stage_ops(stage) if isinstance(op, LinearOp)]
    if stage_kind(stage) != "product" or len(linears) != 1 or linears[0].bias:
        return None
    if not _gives_sums(stage, linears[0].result) or not _is_read_whole(stage):
        return None
    value = linears[0].input
    while isinstance(value.owner, ReshapeOp):
        value = value.owner.input
    if isinstance(value, OpResult) and isinstance(value.owner, StageOp):
        return value.owner, value.owner.yielded[value.index]
    return None


def _gives_sums(stage: StageOp, result: SSAValue) -> bool:
    """Whether all that becomes of a product can be computed from whole rows elsewhere."""
    if not all(isinstance(op, ReshapeOp) for op in prologue(stage)):
        return False
    if not all(isinstance(op, MapOp) for op in epilogue(stage)):
        return False
    outer = [r for r, inner in zip(stage.results_, stage.yielded, strict=True) if inner is result]
    users = [use.operation for value in (result, *outer) for use in value.uses]
    return all(isinstance(op, _READERS) or _is_own_yield(stage, op) for op in users)


def _is_own_yield(stage: StageOp, op: Operation) -> bool:
    return isinstance(op, YieldOp) and op.parent is stage.block


def _attention_chain(last: StageOp, attention: StageOp, workers: int) -> Chain | None:
    op = next(op for op in stage_ops(attention) if isinstance(op, AttentionOp))
    heads = features_of(append_of(op).key)[0]
    first = _product_of_heads(op)
    cuts = [head for head in range(heads + 1) if _divides(last, head, heads)]
    if first is not None:
        whole = [head for head in cuts if _has_whole_heads(first, head, heads)]
        bounds = _bounds(heads, workers, whole)
        if bounds is not None:
            by_heads = Shard("heads", bounds)
            shards = {first: by_heads, attention: by_heads, last: _columns(last, bounds)}
            return Chain(shards, saved=2)
    bounds = _bounds(heads, workers, cuts)
    if bounds is None:
        return None
    return Chain({attention: Shard("heads", bounds), last: _columns(last, bounds)}, saved=1)


def _product_of_heads(op: AttentionOp) -> StageOp | None:
    """The product stage that makes an attention's queries and appends its keys and values."""
    query, stage = op.query.owner, append_of(op).parent_op()
    if isinstance(stage, StageOp) and stage is query and stage_kind(stage) == "product":
        return stage
    return None


def _bounds(heads: int, workers: int, cuts: Sequence[int]) -> tuple[int, ...] | None:
    """Shares of heads; None where a worker would have none."""
    bounds = balanced_bounds([1] * heads, workers, cuts)
    return bounds if len(set(bounds)) == workers + 1 else None


def _columns(last: StageOp, bounds: Sequence[int]) -> Shard:
    """Columns in the proportion of bounds."""
    cols = _shape(last)[1]
    return Shard("columns", tuple(cols * bound // bounds[-1] for bound in bounds))


def _shape(stage: StageOp) -> tuple[int, int]:
    linear = next(op for op in stage_ops(stage) if isinstance(op, LinearOp))
    return matrix_shape(linear.weight)


def _divides(last: StageOp, part: int, whole: int) -> bool:
    """Whether a product's columns can be cut after `part` of `whole` equal parts."""
    return part == whole or _shape(last)[1] * part % (whole * column_unit(last)) == 0


def column_unit(stage: StageOp) -> int:
    """Columns that are not to be torn apart: those that share a scale, of weights or inputs."""
    (linear,) = (op for op in stage_ops(stage) if isinstance(op, LinearOp))
    return lcm(BLOCK_COLS, format_of(linear.weight).block)


def _has_whole_heads(stage: StageOp, head: int, heads: int) -> bool:
    return head == heads or all(
        segment.rows * head % (segment.unit_rows * heads) == 0 for segment in segments(stage)
    )


def _product_chain(
    last: StageOp, first: StageOp, source: SSAValue, shard: Shard | None, workers: int
) -> Chain | None:
    segment = segment_of(first, source)
    if segment is None:
        return None
    if shard is not None:
        if not all(_divides(last, bound, shard.bounds[-1]) for bound in shard.bounds):
            return None
        return Chain({first: shard, last: _columns(last, shard.bounds)}, saved=1)
    if len(segments(first)) > 1:
        return None
    bounds = _aligned_bounds(segment, column_unit(last), workers)
    if bounds is None:
        return None
    columns = tuple(min(bound * segment.unit_rows, segment.rows) for bound in bounds)
    return Chain({first: Shard("rows", bounds), last: Shard("columns", columns)}, saved=1)


def _aligned_bounds(segment: Segment, columns: int, workers: int) -> tuple[int, ...] | None:
    """Bounds of units whose rows are whole groups of columns of the product that follows."""
    step = lcm(columns, segment.unit_rows) // segment.unit_rows
    cuts = [*range(0, segment.units, step), segment.units]
    bounds = balanced_bounds(unit_costs(segment), workers, cuts)
    return bounds if len(set(bounds)) == workers + 1 else None


def unit_costs(segment: Segment) -> list[int]:
    """Bytes of the rows of weights that each unit reads."""
    row_bytes = packed_row_bytes(segment)
    firsts = range(0, segment.rows, segment.unit_rows)
    return [min(segment.unit_rows, segment.rows - first) * row_bytes for first in firsts]
