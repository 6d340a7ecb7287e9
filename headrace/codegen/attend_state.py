"""What a call of attention's inner kernel knows of its rows while their positions stream by."""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from headrace.codegen.abi import KV_BLOCK
from headrace.codegen.attention_shape import AttentionShape
from headrace.codegen.tile import F32, I32, LANES, Emitter, Value, vector

#: The score of a position that a row does not see.
UNSEEN = -1.0e30

#: The largest score of a row that has seen nothing: exp of `UNSEEN` less it is zero, too.
NOTHING = UNSEEN / 2


@dataclass(frozen=True, slots=True)
class Rows:
    """Arrays of the rows' state, in memory of the call.

    Attributes:
        queries: where each row's query is, f32 `[key_head]`.
        low, high: i32 `[rows]`, the positions that a row sees: from, and up to.
        position: i32 `[rows]`, of the row's token.
        slope: f32 `[rows]`, of the row's head; 0 where there is none.
        largest: f32 `[rows]`, of the scores so far.
        weight: f32 `[rows, 16]`, the sums of weights so far, by lane.
        scores: f32 `[rows, 64]`, dots, then scores, then weights of a block.
        sums: f32 `[rows, padded value_head]`, of weighted values.
    """

    shape: AttentionShape
    queries: list[Value]
    low: Value
    high: Value
    position: Value
    slope: Value
    largest: Value
    weight: Value
    scores: Value
    sums: Value

    @classmethod
    def allocate(cls, e: Emitter, shape: AttentionShape, queries: list[Value]) -> Rows:
        count = len(queries)
        words = [e.stack(4 * count) for _ in range(5)]
        sizes = LANES, KV_BLOCK, LANES * shape.row_vectors
        return cls(shape, queries, *words, *(e.stack(4 * count * size) for size in sizes))

    def start(self, e: Emitter, row: int, seen: tuple[Value, Value], position: Value) -> None:
        """A row that has seen nothing yet."""
        for array, number in zip(
            (self.low, self.high, self.position), (*seen, position), strict=True
        ):
            e.store(e.trunc(number, I32), e.offset(array, row, I32))
        zero = e.const(0.0, vector(F32))
        e.store(e.f32(NOTHING), e.offset(self.largest, row, F32))
        e.store(zero, e.offset(self.weight, row * LANES, F32))
        for index in range(self.shape.row_vectors):
            e.store(zero, self.sum_place(e, row, index))

    def count_sink(self, e: Emitter, row: int, logit: Value) -> None:
        """Let a row have seen a logit, with a value of zero."""
        e.store(logit, e.offset(self.largest, row, F32))
        once = [float(lane == 0) for lane in range(LANES)]
        weight = Value(e, ir.Constant(vector(F32), once))
        e.store(weight, e.offset(self.weight, row * LANES, F32))

    def score_place(self, e: Emitter, row: Value | int, within: Value | int) -> Value:
        """Where a row's score at a position of the block is."""
        return e.offset(e.offset(self.scores, row * KV_BLOCK, F32), within, F32)

    def sum_place(self, e: Emitter, row: Value | int, index: int) -> Value:
        """Where a vector of a row's sums is."""
        place = e.offset(self.sums, row * (LANES * self.shape.row_vectors), F32)
        return e.offset(place, index * LANES, F32)

    def grow(self, e: Emitter, row: Value, largest: Value, factor: Value) -> None:
        """Make weights and sums of a row relative to a new largest score."""
        e.store(largest, e.offset(self.largest, row, F32))
        weight = e.offset(self.weight, row * LANES, F32)
        places = [weight, *(self.sum_place(e, row, i) for i in range(self.shape.row_vectors))]
        for place in places:
            e.store(e.load(place, vector(F32)) * factor, place)
