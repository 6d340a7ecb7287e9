"""Addresses: where a mapped program's values, constants and scratch lie in memory."""

from __future__ import annotations

from functools import cached_property

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import OpResult, SSAValue

from headrace.codegen.abi import MAX_OUTPUTS
from headrace.codegen.attention_shape import AttentionShape
from headrace.codegen.buffers import (
    Buffers,
    Slot,
    exchanged,
    has_output_rows,
    lay_out_buffers,
    slot_of,
)
from headrace.codegen.cache import CacheLayout
from headrace.codegen.constants import TablePlace, VectorPlace, place_tables, place_vectors
from headrace.codegen.embeddings import place_rows
from headrace.codegen.manifest import RowsPart
from headrace.codegen.scratch import Scratch, lay_out_scratch, widest_row
from headrace.codegen.structure import Structure
from headrace.codegen.widths import FLOAT, aligned, padded, width
from headrace.errors import ProgramError
from headrace.ir.attention_ops import AppendOp, AttentionOp
from headrace.ir.mapping_ops import StageOp
from headrace.ir.model_ops import SampleOp
from headrace.ir.program_ops import WeightOp
from headrace.ir.shapes import features_of
from headrace.ir.stages import segments, stage_kind, stage_ops


class Plan(Structure):
    """Everything about a mapped module that code generation needs to address memory.

    max_tokens: of one step. traced: whether workers record what they do.

    Raises:
        ProgramError: the module is not fully mapped, or not of the supported form.
    """

    def __init__(self, module: ModuleOp, max_tokens: int, *, traced: bool = False) -> None:
        super().__init__(module)
        self.max_tokens, self.traced = max_tokens, traced

    @cached_property
    def vectors(self) -> dict[WeightOp, VectorPlace]:
        return place_vectors(self)

    @cached_property
    def tables(self) -> dict[str, TablePlace]:
        return place_tables(self)

    @cached_property
    def rows(self) -> dict[str, RowsPart]:
        """The embeddings' tables by name."""
        return place_rows(self)

    @cached_property
    def scratch(self) -> Scratch:
        return lay_out_scratch(self, self.max_tokens)

    @cached_property
    def row_floats(self) -> int:
        """Floats of a row of scratch."""
        return widest_row(self)

    @cached_property
    def cache(self) -> CacheLayout:
        """The geometry of KV entries, which all layers share."""
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
        special = op.softcap.only, op.slopes.data, op.sinks is not None
        return AttentionShape(heads, op.scale.only, self.cache, *special)

    @cached_property
    def buffers(self) -> Buffers:
        sizes: dict[Slot, int] = {}
        for stage, value in exchanged(self):
            slot = slot_of(value)
            sizes[slot] = max(sizes.get(slot, 0), self._bytes(stage, value, slot))
        return lay_out_buffers(sizes, self.scratch.end)

    @cached_property
    def hidden(self) -> int:
        """Features of the rows that the head multiplies, which are kept for the host."""
        return width(segments(self.head)[0].linears[0].input)

    @property
    def hidden_at(self) -> int:
        """The offset of row 0 of these in shared memory: behind all slots."""
        return self.buffers.shared_bytes

    @property
    def shared_bytes(self) -> int:
        rows = self._row_count(self.head) * padded(self.hidden) * FLOAT
        return self.hidden_at + aligned(rows)

    def _bytes(self, stage: StageOp, value: OpResult, slot: Slot) -> int:
        """Memory of an exchanged value; a token that was sampled goes another way."""
        if any(isinstance(op, SampleOp) for op in stage_ops(stage)):
            return 0
        bytes = self._row_count(stage) * padded(width(value)) * FLOAT
        if slot[0] != "partial":
            return bytes
        if stage_kind(stage) == "product":
            return self.workers * bytes
        (op,) = (each for each in stage_ops(stage) if isinstance(each, AttentionOp))
        return max(bytes, self.workers * self.attention_shape(op).partial_floats * FLOAT)

    def _row_count(self, stage: StageOp) -> int:
        """The most rows that a stage's values have."""
        return MAX_OUTPUTS if has_output_rows(stage) else self.max_tokens

    def sum_bytes(self, stage: StageOp, value: SSAValue) -> int:
        """Bytes of each worker's part of a product's sums: from one part to the next."""
        return self._row_count(stage) * padded(width(value)) * FLOAT

    def storage(self, value: SSAValue) -> str:
        """Where an exchanged value lives; see `step.buffer`."""
        return slot_of(value)[0]

    def place(self, value: SSAValue) -> int:
        """The offset of an exchanged value in shared memory or in a worker's private memory."""
        return self.buffers.places[slot_of(value)]
