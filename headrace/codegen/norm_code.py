"""The code of a norm operator, on the heads of a row that a worker has."""

from __future__ import annotations

from xdsl.ir import SSAValue

from headrace.codegen.norms import Norm
from headrace.codegen.places import Places
from headrace.codegen.tile import F32, Value
from headrace.ir.model_ops import NormOp
from headrace.ir.shapes import features_of, weight_shape


class NormCode:
    """Emits one norm, head by head.

    first: the token's feature at which the worker's rows start; None: the first one.
    """

    def __init__(self, places: Places, op: NormOp, first: Value | None = None) -> None:
        self.e, self.op = places.e, op
        self.norm = Norm(features_of(op.input)[-1], op.epsilon.only, op.offset.only)
        self._weight = self._vector(places, op.weight, first)
        self._bias = self._vector(places, op.bias, first)

    def _vector(self, places: Places, weight: SSAValue | None, first: Value | None) -> Value | None:
        if weight is None:
            return None
        place = places.vector_weight(weight)
        if first is None or not self._is_by_head(weight):
            return place
        return self.e.offset(place, first, F32)

    def _is_by_head(self, weight: SSAValue) -> bool:
        """Whether each head has entries of its own."""
        return weight_shape(weight) != (self.norm.count,)

    def emit(self, source: Value, out: Value, start: Value | int) -> None:
        """Norm one head, `start` features after the first."""
        weight = self._own(self.op.weight, self._weight, start)
        if self.op.is_layer:
            bias = self._own(self.op.bias, self._bias, start)
            self.norm.layer(self.e, source, weight, bias, out)
        else:
            self.norm.rms(self.e, source, weight, out)

    def _own(
        self, weight: SSAValue | None, place: Value | None, start: Value | int
    ) -> Value | None:
        """Where the entries of a head are."""
        if weight is None or place is None or not self._is_by_head(weight):
            return place
        return self.e.offset(place, start, F32)
