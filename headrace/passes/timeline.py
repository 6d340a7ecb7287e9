"""A step's stages in the order in which every worker executes them, and who made what they read."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.ir import Block, BlockArgument, OpResult, SSAValue

from headrace.errors import ProgramError
from headrace.ir.mapping_ops import LoopOp, StageOp
from headrace.ir.program_ops import ProgramOp, YieldOp
from headrace.ir.types import TokenAttr

#: Trips of a loop that analyses look at: the first, one after it, and one more, which shows that
#: nothing changes any more. What a worker knows of others can only grow from trip to trip.
TRIPS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution of a stage: its place in the order, and the loop's trip (None outside)."""

    place: int
    stage: StageOp
    trip: int | None


@dataclass(frozen=True, slots=True)
class Made:
    """A value as one execution made it: result `index` of the execution at `place`."""

    place: int
    result: OpResult


class Timeline:
    """All executions of a step, loops cut to `TRIPS_SHOWN` trips."""

    def __init__(self, program: ProgramOp) -> None:
        self.executions: list[Execution] = []
        self._places: dict[tuple[StageOp, int | None], int] = {}
        self._names: dict[str, StageOp] = {}
        for op in program.block.ops:
            if isinstance(op, LoopOp):
                for trip in range(trips_shown(op)):
                    self._append(op.block, trip)
            elif isinstance(op, StageOp):
                self._add(op, None)

    def _append(self, block: Block, trip: int) -> None:
        for op in block.ops:
            if isinstance(op, StageOp):
                self._add(op, trip)

    def _add(self, stage: StageOp, trip: int | None) -> None:
        place = len(self.executions)
        self._places[stage, trip] = place
        self._names[stage.sym_name.data] = stage
        self.executions.append(Execution(place, stage, trip))

    def maker(self, value: SSAValue, at: Execution) -> Made | None:
        """What a value is when `at` reads it; None for the program's inputs."""
        return self._maker(value, at.trip)

    def maker_at_end(self, value: SSAValue) -> Made | None:
        """What a value is when the program returns it."""
        return self._maker(value, None)

    def _maker(self, value: SSAValue, trip: int | None) -> Made | None:
        if isinstance(value, BlockArgument):
            return self._argument(value, trip)
        assert isinstance(value, OpResult)
        if isinstance(value.op, LoopOp):
            return self._maker(_yielded(value.op, value.index), trips_shown(value.op) - 1)
        if not isinstance(value.op, StageOp):
            raise ProgramError("a stage reads a value that no stage makes", where=str(value.op))
        inside = isinstance(value.op.parent_op(), LoopOp)
        return Made(self._places[value.op, trip if inside else None], value)

    def _argument(self, value: BlockArgument, trip: int | None) -> Made | None:
        loop = value.block.parent_op()
        if not isinstance(loop, LoopOp):
            return None
        assert trip is not None
        if trip == 0:
            return self._maker(loop.inits[value.index], None)
        return self._maker(_yielded(loop, value.index), trip - 1)

    def awaited(self, edge: TokenAttr, at: Execution) -> int | None:
        """The place of the execution that an edge of `at` waits for; None if it is vacuous.

        Raises:
            ProgramError: there is no stage of that name before `at`.
        """
        stage = self._names.get(edge.stage_name)
        if stage is None:
            raise ProgramError(
                f"there is no stage @{edge.stage_name} to wait for",
                where=f"stage @{at.stage.sym_name.data}",
            )
        if at.trip is not None and stage.parent is at.stage.parent:
            place = self._places.get((stage, at.trip - edge.distance.data))
        elif at.trip in (None, 0):
            place = self._last_place(stage)
        else:
            place = None
        if place is not None and place >= at.place:
            raise ProgramError(
                f"the stage waits for @{edge.stage_name}, which comes later",
                where=f"stage @{at.stage.sym_name.data}",
            )
        return place

    def _last_place(self, stage: StageOp) -> int:
        loop = stage.parent_op()
        return self._places[stage, trips_shown(loop) - 1 if isinstance(loop, LoopOp) else None]

    def distance(self, made: Execution, at: Execution) -> int:
        """How many trips ago, for an edge from `at`; 0 where they share no loop."""
        if made.stage.parent is not at.stage.parent or made.trip is None or at.trip is None:
            return 0
        return at.trip - made.trip


def trips_shown(loop: LoopOp) -> int:
    return min(loop.trip_count, TRIPS_SHOWN)


def _yielded(loop: LoopOp, index: int) -> SSAValue:
    last = loop.block.last_op
    assert isinstance(last, YieldOp)
    return last.values[index]
