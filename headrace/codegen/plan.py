"""Addresses: where a mapped program's values, constants and scratch lie in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from xdsl.dialects.builtin import ModuleOp, TensorType
from xdsl.ir import BlockArgument, OpResult, SSAValue

from headrace.codegen.abi import MAX_OUTPUTS
from headrace.codegen.attend import AttentionShape
from headrace.codegen.cache import CacheLayout
from headrace.codegen.layout import TILE_COLS, TILE_ROWS
from headrace.errors import ProgramError
from headrace.ir.mapping_ops import LoopOp, StageOp, StreamOp
from headrace.ir.model_ops import (
    AppendOp,
    AttentionOp,
    EmbeddingOp,
    FrequenciesOp,
    LinearOp,
    ProgramOp,
    SampleOp,
    SelectOp,
    WeightOp,
    YieldOp,
    features_of,
    weight_shape,
)
from headrace.ir.stages import Segment, outer_values, segments, stage_kind, stage_name, stage_ops
from headrace.ir.types import WeightType

T = TypeVar("T")

_ALIGN = 4096
_FLOAT = 4

#: Rows of a product that are computed for all tokens before their epilogue, with several tokens.
CHUNK_ROWS = 128


def padded(features: int) -> int:
    """Features rounded up to whole tiles: the stride of a row in a buffer."""
    return -(-features // TILE_ROWS) * TILE_ROWS


def aligned(bytes: int) -> int:
    return -(-bytes // _ALIGN) * _ALIGN


def width(value: SSAValue) -> int:
    """All features of one token."""
    result = 1
    for dim in features_of(value):
        result *= dim
    return result


@dataclass(frozen=True, slots=True)
class VectorPlace:
    """A one-dimensional weight: byte of trip 0 in the vector area, bytes a trip."""

    at: int
    trip: int


@dataclass(frozen=True, slots=True)
class Scratch:
    """Offsets in a worker's private memory."""

    values: int
    scales: int
    sums: int
    offsets: int
    rows: int
    product: int
    weights: int


@dataclass
class Plan:
    """Everything about a mapped module that code generation needs to address memory.

    Raises:
        ProgramError: the module is not fully mapped, or not of the supported form.
    """

    module: ModuleOp
    max_tokens: int
    program: ProgramOp = field(init=False)
    loop: LoopOp | None = field(init=False)
    before: list[StageOp] = field(init=False)
    body: list[StageOp] = field(init=False)
    after: list[StageOp] = field(init=False)

    def __post_init__(self) -> None:
        programs = [op for op in self.module.ops if isinstance(op, ProgramOp)]
        if len(programs) != 1:
            raise ProgramError(f"a module to compile has one program, not {len(programs)}")
        self.program = programs[0]
        loops = [op for op in self.program.block.ops if isinstance(op, LoopOp)]
        if len(loops) > 1:
            raise ProgramError("code generation takes one loop of layers", where="step.program")
        self.loop = loops[0] if loops else None
        self._split()

    def _split(self) -> None:
        self.before, self.body, self.after = [], [], []
        place = self.before
        for op in self.program.block.ops:
            if isinstance(op, LoopOp):
                self.body = [each for each in op.block.ops if isinstance(each, StageOp)]
                place = self.after
            elif isinstance(op, StageOp):
                place.append(op)

    @property
    def trips(self) -> int:
        return 1 if self.loop is None else self.loop.trip_count

    @property
    def stages(self) -> list[StageOp]:
        return [*self.before, *self.body, *self.after]

    def in_loop(self, stage: StageOp) -> bool:
        return stage in self.body

    @cached_property
    def workers(self) -> int:
        counts = {
            len(stage.shard.data.bounds) - 1
            for stage in self.stages
            if stage.shard is not None and stage.shard.data.bounds
        }
        if len(counts) != 1:
            raise ProgramError(f"stages disagree on the number of workers: {sorted(counts)}")
        return counts.pop()

    def ops(self, kind: type[T]) -> Iterator[T]:
        """All operators of a kind, in order."""
        for stage in self.stages:
            for op in stage_ops(stage):
                if isinstance(op, kind):
                    yield op

    # streams and constants

    @cached_property
    def streams(self) -> dict[str, list[StreamOp]]:
        """The streams of each stage, by worker."""
        found: dict[str, list[StreamOp]] = {}
        for op in self.module.ops:
            if isinstance(op, StreamOp):
                found.setdefault(op.stage.root_reference.data, []).append(op)
        return found

    @cached_property
    def vectors(self) -> dict[WeightOp, VectorPlace]:
        """Places of the one-dimensional weights, each padded to whole tiles."""
        places: dict[WeightOp, VectorPlace] = {}
        at = 0
        for stage in self.stages:
            trips = self.trips if self.in_loop(stage) else 1
            for op in stage.block.ops:
                if isinstance(op, WeightOp) and len(weight_shape(op.result)) == 1:
                    bytes = padded(weight_shape(op.result)[0]) * _FLOAT
                    places[op] = VectorPlace(at, bytes if trips > 1 else 0)
                    at += bytes * trips
        return places

    @cached_property
    def embedding(self) -> EmbeddingOp:
        return next(self.ops(EmbeddingOp))

    @cached_property
    def table_features(self) -> dict[str, tuple[int, int]]:
        """Of each rotary table: floats a position before it, and its pairs."""
        found: dict[str, tuple[int, int]] = {}
        before = 0
        for op in self.module.ops:
            if isinstance(op, FrequenciesOp):
                pairs = len(op.values.data)
                found[op.sym_name.data] = (before, pairs)
                before += 2 * pairs
        return found

    # attention

    @cached_property
    def cache(self) -> CacheLayout:
        appends = list(self.ops(AppendOp))
        shapes = {(*features_of(op.key), features_of(op.value)[1]) for op in appends}
        formats = {"f32" if op.format is None else op.format.data for op in appends}
        if len(shapes) != 1 or len(formats) != 1:
            raise ProgramError("all layers must have KV entries of one shape and format")
        heads, key_head, value_head = shapes.pop()
        layers = 1 + max(max(op.layers.data) for op in appends)
        return CacheLayout(layers, heads, key_head, value_head, formats.pop())

    def attention_shape(self, op: AttentionOp) -> AttentionShape:
        heads, key_head = features_of(op.query)
        if key_head != self.cache.key_head or heads % self.cache.heads:
            raise ProgramError("attention's queries do not fit the KV entries")
        return AttentionShape(heads, op.scale.only, self.cache)

    # buffers

    def stage_buffer(self, value: SSAValue) -> tuple[str, int]:
        """Storage and slot of a value that stages exchange."""
        owner = value.owner
        if isinstance(value, OpResult) and isinstance(owner, StageOp):
            if owner.buffers is None:
                raise ProgramError("a stage without buffers", where=stage_name(owner))
            buffer = owner.buffers.data[value.index]
            return buffer.storage.data, buffer.slot.data
        if self.loop is not None and isinstance(value, OpResult | BlockArgument):
            last = self.loop.block.last_op
            assert isinstance(last, YieldOp)
            return self.stage_buffer(last.values[value.index])
        raise ProgramError("a value without a buffer", where=str(value))

    def is_outputs(self, stage: StageOp) -> bool:
        """Whether a stage's rows are the wanted outputs rather than the step's tokens."""
        if any(isinstance(op, SelectOp) for op in stage_ops(stage)):
            return True
        sources = (value.owner for value in outer_values(stage))
        return any(isinstance(owner, StageOp) and self.is_outputs(owner) for owner in sources)

    def _slot_bytes(self, stage: StageOp, value: OpResult, storage: str) -> int:
        if isinstance(stage_ops_first(stage, SampleOp), SampleOp):
            return 0
        rows = MAX_OUTPUTS if self.is_outputs(stage) else self.max_tokens
        bytes = rows * padded(width(value)) * _FLOAT
        if storage != "partial":
            return bytes
        op = stage_ops_first(stage, AttentionOp)
        assert isinstance(op, AttentionOp)
        return max(bytes, self.workers * self.attention_shape(op).partial_floats * _FLOAT)

    @cached_property
    def slots(self) -> dict[tuple[str, int], int]:
        """The offset of each slot: in shared memory, or in a worker's private memory."""
        sizes: dict[tuple[str, int], int] = {}
        for stage in self.stages:
            for result in stage.results_:
                if isinstance(result.type, TensorType):
                    key = self.stage_buffer(result)
                    bytes = self._slot_bytes(stage, result, key[0])
                    sizes[key] = max(sizes.get(key, 0), bytes)
        places: dict[tuple[str, int], int] = {}
        ends = {"private": self._scratch_end, "shared": 0}
        for key in sorted(sizes):
            area = "private" if key[0] == "private" else "shared"
            places[key] = ends[area]
            ends[area] += aligned(sizes[key])
        self._ends = ends
        return places

    @property
    def shared_bytes(self) -> int:
        _ = self.slots
        return max(self._ends["shared"], _ALIGN)

    @property
    def private_bytes(self) -> int:
        _ = self.slots
        return self._ends["private"]

    # scratch

    @cached_property
    def row_floats(self) -> int:
        """The widest row of any value, padded."""
        values = (v for s in self.stages for op in stage_ops(s) for v in [*op.operands, *op.results])
        widths = (width(v) for v in values if isinstance(v.type, TensorType) and v.type.get_shape())
        return padded(max(widths))

    def scratch_rows(self, stage: StageOp) -> int:
        return len(list(stage_ops(stage))) + 1

    @cached_property
    def scratch(self) -> Scratch:
        cols = max(padded(weight_shape(op.weight)[1]) for op in self.ops(LinearOp))
        blocks = cols // TILE_COLS
        rows = max(self.scratch_rows(stage) for stage in self.stages)
        vocabulary = weight_shape(self.embedding.table)[0]
        sizes = (
            self.max_tokens * cols * _FLOAT,
            *[self.max_tokens * blocks * _FLOAT] * 3,
            rows * self.row_floats * _FLOAT,
            self._product_floats * _FLOAT,
            padded(vocabulary) * _FLOAT,
        )
        starts = [0]
        for size in sizes:
            starts.append(starts[-1] + aligned(size))
        self._scratch_end_value = starts[-1]
        return Scratch(*starts[:-1])

    @property
    def _scratch_end(self) -> int:
        _ = self.scratch
        return self._scratch_end_value

    @cached_property
    def _product_floats(self) -> int:
        largest = 0
        for stage in self.stages:
            if stage_kind(stage) != "product":
                continue
            for segment in segments(stage):
                rows = unit_scratch_rows(segment)
                many = chunk_units(segment) * rows * self.max_tokens
                largest = max(largest, segment.units * rows, many)
        return largest


def stage_ops_first(stage: StageOp, kind: type) -> object | None:
    return next((op for op in stage_ops(stage) if isinstance(op, kind)), None)


def unit_tiles(segment: Segment) -> int:
    """Tiles that one unit fills in one linear's weight."""
    return -(-segment.unit_rows // TILE_ROWS)


def unit_scratch_rows(segment: Segment) -> int:
    """Rows of product scratch that one unit takes."""
    return unit_tiles(segment) * TILE_ROWS * len(segment.linears)


def chunk_units(segment: Segment) -> int:
    """Units whose products are computed for all tokens before their epilogue."""
    return max(1, CHUNK_ROWS // unit_scratch_rows(segment))


def weight_format(value: SSAValue) -> str:
    assert isinstance(value.type, WeightType)
    return value.type.format.data


def constant_over_trips(values: Sequence[int]) -> bool:
    return len(set(values)) == 1
