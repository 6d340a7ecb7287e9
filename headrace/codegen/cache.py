"""The KV cache: paged blocks of 64 positions, laid out for reading with vectors.

A block holds, for every layer and KV head, the keys as groups of 16 positions (for each of the
head's features, 16 positions side by side) and then the values position by position. Where entries
are codes ("q8"), the scales of the 64 keys follow the keys, and those of the values the values.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from headrace.codegen.abi import KV_BLOCK
from headrace.codegen.entries import ELEMENTS, decode, encode, scale_of
from headrace.codegen.frame import Frame
from headrace.codegen.primitives import half_to_float
from headrace.codegen.tile import F32, I1, I16, I32, I64, LANES, Emitter, Value, size_of, vector
from headrace.formats.entries import entry_bytes


@dataclass(frozen=True, slots=True)
class CacheLayout:
    """Shape and format (of `headrace.formats.entries`) of the KV entries of every layer."""

    layers: int
    heads: int
    key_head: int
    value_head: int
    format: str

    @property
    def element(self) -> ir.Type:
        """How an entry's number is held in memory."""
        return ELEMENTS[self.format]

    @property
    def element_bytes(self) -> int:
        return size_of(self.element)

    @property
    def scaled(self) -> bool:
        """Whether numbers are codes, with a scale for each key and each value."""
        return self.format == "q8"

    @property
    def key_bytes(self) -> int:
        """Bytes of one head's keys in a block."""
        return KV_BLOCK * entry_bytes(self.format, self.key_head)

    @property
    def value_bytes(self) -> int:
        """Bytes of one head's values in a block."""
        return KV_BLOCK * entry_bytes(self.format, self.value_head)

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
        """16 numbers as float32; codes without their scales."""
        return decode(e, e.load(place, vector(self.element), mask), self.format)

    def key_scales(self, e: Emitter, head_place: Value) -> Value:
        """Where the scales of a head's 64 keys are."""
        return e.offset(head_place, KV_BLOCK * self.key_head)

    def value_scales(self, e: Emitter, head_place: Value) -> Value:
        """Where the scales of a head's 64 values are."""
        return e.offset(head_place, self.key_bytes + KV_BLOCK * self.value_head)

    def load_scales(self, e: Emitter, scales: Value, first: int) -> Value:
        """Scales of 16 positions as float32."""
        return half_to_float(e, e.load(e.offset(scales, first, I16), vector(I16)))

    def store_key(self, e: Emitter, source: Value, head_place: Value, position: Value) -> None:
        """Scatter one key (f32 `[key_head]`) into its group of 16 positions."""
        within = position % KV_BLOCK
        group = within // LANES * (LANES * self.key_head) + within % LANES
        first = e.offset(head_place, group, self.element)
        scales = self.key_scales(e, head_place)
        inverse = self._store_scale(e, source, self.key_head, scales, within)
        for index, mask in e.lanes(self.key_head):
            value = e.load(e.offset(source, index, F32), vector(F32), mask)
            encoded = encode(e, value, self.format, inverse)
            used = LANES if mask is None else self.key_head % LANES
            place = e.offset(first, index * LANES, self.element)
            for lane in range(used):
                e.store(e.lane(encoded, lane), e.offset(place, lane * LANES, self.element))

    def store_value(self, e: Emitter, source: Value, head_place: Value, position: Value) -> None:
        """Write one value (f32 `[value_head]`) at its position."""
        within = position % KV_BLOCK
        row = self.value_place(e, head_place, within)
        scales = self.value_scales(e, head_place)
        inverse = self._store_scale(e, source, self.value_head, scales, within)
        for index, mask in e.lanes(self.value_head):
            value = e.load(e.offset(source, index, F32), vector(F32), mask)
            encoded = encode(e, value, self.format, inverse)
            e.store(encoded, e.offset(row, index, self.element), mask)

    def _store_scale(
        self, e: Emitter, source: Value, size: int, scales: Value, within: Value
    ) -> Value | None:
        """Store the scale of codes, if there is one; its inverse."""
        if not self.scaled:
            return None
        scale, inverse = scale_of(e, source, size)
        e.store(scale, e.offset(scales, within, I16))
        return inverse

    def value_place(self, e: Emitter, head_place: Value, within: Value) -> Value:
        values = e.offset(head_place, self.key_bytes)
        return e.offset(values, within * self.value_head, self.element)

    def value_mask(self, e: Emitter, index: int) -> Value | None:
        """The lanes of a value's vector number `index` that exist; None: all."""
        left = self.value_head - index * LANES
        if left >= LANES:
            return None
        return Value(e, ir.Constant(vector(I1), [lane < left for lane in range(LANES)]))
