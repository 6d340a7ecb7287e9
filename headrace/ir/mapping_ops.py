"""Mapping operators of the `step` dialect: how a program is laid over time and workers."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import (
    ArrayAttr,
    StringAttr,
    SymbolNameConstraint,
    SymbolRefAttr,
)
from xdsl.ir import Attribute, Block, Region, SSAValue
from xdsl.irdl import (
    AnyAttr,
    IRDLOperation,
    irdl_op_definition,
    opt_prop_def,
    prop_def,
    region_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.traits import SymbolOpInterface
from xdsl.utils.exceptions import VerifyException

from headrace.ir.literals import IntsAttr
from headrace.ir.model_ops import entries_per_trip
from headrace.ir.program_ops import YieldOp
from headrace.ir.types import BufferAttr, RunAttr, ShardAttr, TokenAttr


@irdl_op_definition
class LoopOp(IRDLOperation):
    """KernelLooping: one body executed `trips` times, the layers' weights indexed by the trip.

    Operands are the first trip's carried values, the block's arguments the current trip's, the
    yield gives the next trip's, the results are the last trip's. Values from outside may be used
    directly: they are invariant.
    """

    name = "step.loop"

    trips = prop_def(IntsAttr)
    inits = var_operand_def(AnyAttr())
    body = region_def("single_block")
    results_ = var_result_def(AnyAttr())

    assembly_format = (
        "$trips $inits attr-dict-with-keyword `:` type($inits) `->` type($results_) $body"
    )

    def __init__(self, trips: int, inits: Sequence[SSAValue], body: Region) -> None:
        super().__init__(
            operands=[list(inits)],
            properties={"trips": IntsAttr.of([trips])},
            regions=[body],
            result_types=[[value.type for value in inits]],
        )

    @property
    def trip_count(self) -> int:
        return self.trips.data[0]

    @property
    def block(self) -> Block:
        return self.body.block

    def verify_(self) -> None:
        self._verify_trips()
        carried = [value.type for value in self.inits]
        last = self.block.last_op
        if not isinstance(last, YieldOp):
            raise VerifyException("loop: the body ends in step.yield")
        if not (
            carried
            == [argument.type for argument in self.block.args]
            == [value.type for value in last.values]
            == [result.type for result in self.results_]
        ):
            raise VerifyException("loop: inits, arguments, yields and results must agree in type")

    def _verify_trips(self) -> None:
        if len(self.trips.data) != 1 or self.trip_count < 1:
            raise VerifyException("loop: at least one trip")
        for op in self.body.walk():
            entries = entries_per_trip(op)
            if entries not in (1, self.trip_count):
                raise VerifyException(
                    f"loop: {op.name} has {entries} entries for {self.trip_count} trips"
                )


@irdl_op_definition
class StageOp(IRDLOperation):
    """What runs fused between two exchanges; its intermediates never leave the worker.

    The region may use values from outside; its yield gives the stage's results. Passes fill in:
    `shard` (how workers divide it), `after` (the token edges it waits for) and `buffers` (where
    each result lives, in order).
    """

    name = "step.stage"

    sym_name = prop_def(SymbolNameConstraint())
    shard = opt_prop_def(ShardAttr)
    after = opt_prop_def(ArrayAttr[TokenAttr])
    buffers = opt_prop_def(ArrayAttr[BufferAttr])
    body = region_def("single_block")
    results_ = var_result_def(AnyAttr())

    traits = traits_def(SymbolOpInterface())
    assembly_format = (
        "$sym_name (`shard` $shard^)? (`after` $after^)? (`buffers` $buffers^)?"
        " attr-dict-with-keyword `->` type($results_) $body"
    )

    def __init__(self, sym_name: str, body: Region, result_types: Sequence[Attribute]) -> None:
        super().__init__(
            properties={"sym_name": StringAttr(sym_name)},
            regions=[body],
            result_types=[list(result_types)],
        )

    @property
    def block(self) -> Block:
        return self.body.block

    @property
    def yielded(self) -> Sequence[SSAValue]:
        last = self.block.last_op
        if not isinstance(last, YieldOp):
            raise VerifyException("stage: the body ends in step.yield")
        return last.values

    def verify_(self) -> None:
        if [value.type for value in self.yielded] != [result.type for result in self.results_]:
            raise VerifyException("stage: yields and results must agree in type")
        if self.buffers is not None and len(self.buffers) != len(self.results_):
            raise VerifyException("stage: one buffer a result")


@irdl_op_definition
class StreamOp(IRDLOperation):
    """The weights that one worker reads in one stage: a part of the worker's linear stream.

    `at` is the byte at which the stage's part starts in trip 0, `bytes` its length, `trip` the
    distance to the same part of the next trip (0 outside of loops), `runs` its content in order.
    """

    name = "step.stream"

    stage = prop_def(SymbolRefAttr)
    worker = prop_def(IntsAttr)
    at = prop_def(IntsAttr)
    bytes = prop_def(IntsAttr)
    trip = prop_def(IntsAttr)
    runs = prop_def(ArrayAttr[RunAttr])

    assembly_format = (
        "$stage `worker` $worker `at` $at `bytes` $bytes `trip` $trip `runs` $runs attr-dict"
    )

    def __init__(
        self, stage: str, worker: int, at: int, bytes: int, trip: int, runs: Sequence[RunAttr]
    ) -> None:
        super().__init__(
            properties={
                "stage": SymbolRefAttr(stage),
                "worker": IntsAttr.of([worker]),
                "at": IntsAttr.of([at]),
                "bytes": IntsAttr.of([bytes]),
                "trip": IntsAttr.of([trip]),
                "runs": ArrayAttr(list(runs)),
            }
        )


MAPPING_OPS = (LoopOp, StageOp, StreamOp)
