"""Where the values that stages exchange lie: slots of shared and of private memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from xdsl.dialects.builtin import TensorType
from xdsl.ir import Block, BlockArgument, OpResult, SSAValue

from headrace.codegen.structure import Structure
from headrace.codegen.widths import ALIGN, aligned
from headrace.errors import ProgramError
from headrace.ir.mapping_ops import LoopOp, StageOp
from headrace.ir.model_ops import SelectOp
from headrace.ir.program_ops import YieldOp
from headrace.ir.stages import outer_values, stage_name, stage_ops

#: Storage and number, as in `step.buffer`.
Slot = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Buffers:
    """Offsets of slots in shared memory or in a worker's private memory, and the sizes of both."""

    places: dict[Slot, int]
    shared_bytes: int
    private_bytes: int


def lay_out_buffers(sizes: dict[Slot, int], private_start: int) -> Buffers:
    """Places for slots of given sizes; private ones come after what is there already."""
    places: dict[Slot, int] = {}
    ends = {"private": private_start, "shared": 0}
    for slot in sorted(sizes):
        area = "private" if slot[0] == "private" else "shared"
        places[slot] = ends[area]
        ends[area] += aligned(sizes[slot])
    return Buffers(places, max(ends["shared"], ALIGN), ends["private"])


def exchanged(structure: Structure) -> Iterator[tuple[StageOp, OpResult]]:
    """All values that stages exchange through slots, with the stages that compute them."""
    for stage in structure.stages:
        for result in stage.results_:
            if isinstance(result.type, TensorType):
                yield stage, result


def slot_of(value: SSAValue) -> Slot:
    """The slot of a value that stages exchange; a loop's is that of what it yields.

    Raises:
        ProgramError: the value has none: the module is not fully mapped.
    """
    owner = value.owner
    if isinstance(value, OpResult) and isinstance(owner, StageOp):
        if owner.buffers is None:
            raise ProgramError("a stage without buffers", where=f"stage @{stage_name(owner)}")
        buffer = owner.buffers.data[value.index]
        return buffer.storage.data, buffer.slot.data
    loop = owner.parent_op() if isinstance(owner, Block) else owner
    if isinstance(loop, LoopOp) and isinstance(value, OpResult | BlockArgument):
        last = loop.block.last_op
        assert isinstance(last, YieldOp)
        return slot_of(last.values[value.index])
    raise ProgramError("a value without a buffer", where=str(value))


def has_output_rows(stage: StageOp) -> bool:
    """Whether a stage's rows are the wanted outputs rather than the step's tokens."""
    if any(isinstance(op, SelectOp) for op in stage_ops(stage)):
        return True
    sources = (value.owner for value in outer_values(stage))
    return any(isinstance(owner, StageOp) and has_output_rows(owner) for owner in sources)
