"""The KV cache: paged blocks of 64 positions, laid out for reading with vectors.

A block holds, for every layer and KV head, the keys as groups of 16 positions (for each of the
head's features, 16 positions side by side) and then the values position by position.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from headrace.codegen.abi import KV_BLOCK
from headrace.codegen.frame import Frame
from headrace.codegen.primitives import float_to_half, half_to_float
from headrace.codegen.tile import F32, I1, I16, I32, I64, LANES, Emitter, Value, vector


@dataclass(frozen=True, slots=True)
class CacheLayout:
    """Shape and format ("f16" or "f32") of the KV entries of every layer."""

    layers: int
    heads: int
    key_head: int
    value_head: int
    format: str

    @property
    def element_bytes(self) -> int:
        return 2 if self.format == "f16" else 4

    @property
    def element(self) -> ir.Type:
        """How an entry's number is held in memory."""
        return I16 if self.format == "f16" else F32

    @property
    def key_bytes(self) -> int:
        """Bytes of one head's keys in a block."""
        return KV_BLOCK * self.key_head * self.element_bytes

    @property
    def value_bytes(self) -> int:
        """Bytes of one head's values in a block."""
        return KV_BLOCK * self.value_head * self.element_bytes

    @property
    def head_bytes(self) -> int:
        return self.key_bytes + self.value_bytes

    @property
    def layer_bytes(self) -> int:
        return self.heads * self.head_bytes

    @property
    def block_bytes(self) -> int:
        return self.layers * self.layer_bytes

    @property
    def token_bytes(self) -> int:
        """Bytes of all layers' entries of one token."""
        return self.block_bytes // KV_BLOCK

    def head_place(
        self, frame: Frame, slot: Value, position: Value, layer: Value, head: Value | int
    ) -> Value:
        """The address of one head's entries in the block that holds a sequence's `position`."""
        e = frame.e
        index = slot * frame.get("table_stride") + position // KV_BLOCK
        entry = e.offset(frame.get("block_table"), index, I32)
        block = e.zext(e.load(entry, I32), I64)
        inner = layer * self.layer_bytes + e.like(head, I64) * self.head_bytes
        return e.offset(frame.get("cache"), block * self.block_bytes + inner)

    def load(self, e: Emitter, place: Value, mask: Value | None = None) -> Value:
        """16 numbers as float32."""
        if self.format == "f32":
            return e.load(place, vector(F32), mask)
        return half_to_float(e, e.load(place, vector(I16), mask))

    def encode(self, e: Emitter, value: Value) -> Value:
        return value if self.format == "f32" else float_to_half(e, value)

    def store_key(self, e: Emitter, source: Value, head_place: Value, position: Value) -> None:
        """Scatter one key (f32 `[key_head]`) into its group of 16 positions."""
        within = position % KV_BLOCK
        group = within // LANES * (LANES * self.key_head) + within % LANES
        first = e.offset(head_place, group, self.element)
        for index, mask in e.lanes(self.key_head):
            encoded = self.encode(e, e.load(e.offset(source, index, F32), vector(F32), mask))
            used = LANES if mask is None else self.key_head % LANES
            place = e.offset(first, index * LANES, self.element)
            for lane in range(used):
                raw = e.builder.extract_element(encoded.raw, ir.Constant(I32, lane))
                e.store(Value(e, raw), e.offset(place, lane * LANES, self.element))

    def store_value(self, e: Emitter, source: Value, head_place: Value, position: Value) -> None:
        """Write one value (f32 `[value_head]`) at its position."""
        row = self.value_place(e, head_place, position % KV_BLOCK)
        for index, mask in e.lanes(self.value_head):
            value = e.load(e.offset(source, index, F32), vector(F32), mask)
            e.store(self.encode(e, value), e.offset(row, index, self.element), mask)

    def value_place(self, e: Emitter, head_place: Value, within: Value) -> Value:
        values = e.offset(head_place, self.key_bytes)
        return e.offset(values, within * self.value_head, self.element)

    def value_mask(self, e: Emitter, index: int) -> Value | None:
        """The lanes of a value's vector number `index` that exist; None: all."""
        left = self.value_head - index * LANES
        if left >= LANES:
            return None
        return Value(e, ir.Constant(vector(I1), [lane < left for lane in range(LANES)]))
