"""The code of a rotation, on the heads of one token's row that a worker has."""

from __future__ import annotations

from headrace.codegen.places import Places
from headrace.codegen.rotation import copy_rest, rotate_halves, rotate_pairs
from headrace.codegen.tile import F32, Value
from headrace.errors import ProgramError
from headrace.ir.attention_ops import RopeOp
from headrace.ir.shapes import features_of


class RopeCode:
    """Emits one rotation for the token of a row, head by head."""

    def __init__(self, places: Places, op: RopeOp, row: Value) -> None:
        e, frame = places.e, places.frame
        self.e, self.op = e, op
        tables = [places.plan.tables[name] for name in op.table_names()]
        self.pairs = tables[0].pairs
        if any(table.pairs != self.pairs for table in tables):
            raise ProgramError("a loop's rotations turn as many features", where=places.name)
        before = places.by_trip([table.before for table in tables], "rope_tables")
        position = places.frame.position(row)
        table = e.offset(frame.get("tables"), before * frame.get("capacity"), F32)
        self.cosines = e.offset(table, position * (2 * self.pairs), F32)
        self.sines = e.offset(self.cosines, self.pairs, F32)

    @property
    def size(self) -> int:
        """Features of a head."""
        return features_of(self.op.input)[1]

    def emit(self, source: Value, out: Value) -> None:
        """Rotate one head."""
        rotate = rotate_pairs if self.op.style.data == "pairs" else rotate_halves
        rotate(self.e, source, out, self.cosines, self.sines, self.pairs)
        copy_rest(self.e, source, out, 2 * self.pairs, self.size)
