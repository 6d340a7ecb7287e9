"""The code of an append: keys and values of one token become entries of the KV cache."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.ir import SSAValue

from headrace.codegen.places import Places
from headrace.codegen.tile import F32, Emitter, Value
from headrace.ir.attention_ops import AppendOp

#: Stores one head's features at a position of a block: emitter, source, block, position.
Store = Callable[[Emitter, Value, Value, Value], None]


class AppendCode:
    """Emits one append for the token of a row, head by head.

    Attributes:
        parts: keys and values: what is appended, features of a head, and how they are stored.
    """

    def __init__(self, places: Places, op: AppendOp, row: Value) -> None:
        self.e, self.frame = places.e, places.frame
        self.cache = places.plan.cache
        self.slot, self.position = self.frame.slot(row), self.frame.position(row)
        self.layer = places.by_trip(op.layers.data, "cache_layers")
        self.parts: tuple[tuple[SSAValue, int, Store], ...] = (
            (op.key, self.cache.key_head, self.cache.store_key),
            (op.value, self.cache.value_head, self.cache.store_value),
        )

    def emit(self, store: Store, head: Value, source: Value, start: Value | int) -> None:
        """Store one head, whose features are `start` floats after `source`."""
        place = self.cache.head_place(self.frame, self.slot, self.position, self.layer, head)
        store(self.e, self.e.offset(source, start, F32), place, self.position)
