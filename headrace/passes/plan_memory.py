"""plan-memory: where each stage's results live; buffers shared by values never live together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, ModuleOp, TensorType
from xdsl.ir import Attribute, OpResult, SSAValue
from xdsl.passes import ModulePass

from headrace.errors import ProgramError
from headrace.ir.mapping_ops import StageOp
from headrace.ir.model_ops import MapOp
from headrace.ir.stages import readers, segment_of, stage_name, storage
from headrace.ir.types import BufferAttr
from headrace.passes.clocks import Clock, Clocks, participants
from headrace.passes.lifetimes import Life, Web, webs_of
from headrace.passes.order_tokens import worker_count
from headrace.passes.programs import program_of, require_stages, stages_of
from headrace.passes.reads import Rows, overlaps, read_rows, written_rows
from headrace.passes.timeline import Timeline


@dataclass(frozen=True)
class PlanMemoryPass(ModulePass):
    """Give each result of each stage a buffer.

    Before: every stage has its shard and its token edges.
    After: `buffers` of every stage says storage and slot. Values in one slot of one storage are
        never alive together, and have one element type. A loop's initial value, argument, yield
        and result have one slot. Whoever overwrites a shared or partial slot has waited, by token
        edges, for every worker that read or wrote its former value; where that does not hold,
        another slot is taken. Results returned by the program keep their slots to its end.
    Leaves alone: everything else.

    Raises:
        ProgramError: a value cannot be overwritten safely in a slot that it must have, because a
            loop carries it on; or stages are not sharded.
    """

    name = "plan-memory"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        require_stages(op)
        timeline = Timeline(program_of(op))
        planner = _Planner(timeline, worker_count(op))
        for web in webs_of(op, timeline):
            planner.place(web)
        for stage in stages_of(op):
            stage.buffers = ArrayAttr([planner.buffer(result) for result in stage.results_])


@dataclass(frozen=True, slots=True)
class _Slot:
    """What a slot holds in the course of a step."""

    element: Attribute
    webs: list[Web]


class _Planner:
    """Slots as they fill, and what each worker knows when it starts an execution."""

    def __init__(self, timeline: Timeline, workers: int) -> None:
        self.executions = timeline.executions
        self.workers = workers
        self.knowledge = [*_knowledge(timeline, workers)]
        self.slots: dict[str, list[_Slot]] = {}
        self.buffers: dict[OpResult, BufferAttr] = {}

    def buffer(self, result: OpResult) -> BufferAttr:
        return self.buffers.get(result) or BufferAttr.of("cache", 0)

    def place(self, web: Web) -> None:
        """Give a web the first slot that it may have."""
        where = storage(web.results[0])
        element = _element(web.results[0])
        self._require_safe(web)
        slots = self.slots.setdefault(where, [])
        fitting = (each for each in slots if each.element == element and self._fits(each, web))
        slot = next(fitting, None)
        if slot is None:
            slot = _Slot(element, [])
            slots.append(slot)
        slot.webs.append(web)
        buffer = BufferAttr.of(where, slots.index(slot))
        self.buffers.update((result, buffer) for result in web.results)

    def _fits(self, slot: _Slot, web: Web) -> bool:
        webs = [*slot.webs, web]
        owners = {life: each for each in webs for life in each.lives}
        return all(
            self._may_follow(former, latter, in_place=owners[former] is owners[latter])
            for former, latter in pairwise(_in_order(owners))
        )

    def _require_safe(self, web: Web) -> None:
        """Check that a web's values can follow each other in one slot at all."""
        for former, latter in pairwise(_in_order(web.lives)):
            if not self._may_follow(former, latter, in_place=True):
                reader, writer = (self._stage_name(each) for each in (former, latter))
                raise ProgramError(
                    f"the result of @{reader} may still be read when @{writer} overwrites it;"
                    " a loop carries both in one buffer",
                    where=f"stage @{writer}",
                    hint="compute a loop's next value behind the last read of the current one",
                )

    def _may_follow(self, former: Life, latter: Life, *, in_place: bool) -> bool:
        """Whether all accesses of one life are over, for every worker, when another starts.

        in_place: the writer itself may be the last reader, element by element.
        """
        late = [(place, value) for place, value in former.reads if place >= latter.place]
        writer = self.executions[latter.place].stage
        if former.place == latter.place or (late and not in_place):
            return False
        if any(p > latter.place or not is_in_place(writer, v, latter.result) for p, v in late):
            return False
        return storage(latter.result) == "private" or self._has_waited(former, latter)

    def _stage_name(self, life: Life) -> str:
        return stage_name(self.executions[life.place].stage)

    def _has_waited(self, former: Life, latter: Life) -> bool:
        """Whether each writer knows that the earlier accesses to what it overwrites are over."""
        writer = self.executions[latter.place].stage
        written = written_rows(writer, latter.result)
        if former.result.type != latter.result.type:
            written = None
        for place, rows in self._accesses(former):
            if place < latter.place:
                users = participants(self.executions[place].stage, self.workers)
                pairs = np.outer(participants(writer, self.workers), users)
                pairs &= ~np.eye(self.workers, dtype=np.bool_)
                pairs &= overlaps(written, rows, self.workers)
                if not (self.knowledge[latter.place][pairs] >= place).all():
                    return False
        return True

    def _accesses(self, life: Life) -> Iterator[tuple[int, Rows | None]]:
        """The places where a life is written and read before the program's end, and the rows."""
        yield life.place, written_rows(self.executions[life.place].stage, life.result)
        for place, value in life.reads:
            if place < len(self.executions):
                yield place, read_rows(self.executions[place].stage, value)


def _knowledge(timeline: Timeline, workers: int) -> list[Clock]:
    """What each worker knows when it starts each execution, its waits done."""
    clocks = Clocks(workers)
    found: list[Clock] = []
    for at in timeline.executions:
        for edge in at.stage.after or ():
            awaited = timeline.awaited(edge, at)
            if awaited is not None:
                clocks.wait(awaited)
        found.append(clocks.known.copy())
        clocks.finish(at.stage, at.place)
    return found


def is_in_place(stage: StageOp, value: SSAValue, result: OpResult) -> bool:
    """Whether a stage can overwrite a value that it reads: each element is read just before.

    One map reads it, on the rows whose results are written (or is itself what a row-wise stage
    yields).
    """
    users = readers(stage, value)
    yielded = stage.yielded[result.index]
    if len(users) != 1 or not isinstance(users[0], MapOp):
        return False
    segment = segment_of(stage, users[0].result)
    if segment is None:
        return users[0].result is yielded and segment_of(stage, yielded) is None
    return segment == segment_of(stage, yielded)


def _in_order(lives: Iterable[Life]) -> list[Life]:
    return sorted(lives, key=lambda life: life.place)


def _element(result: OpResult) -> Attribute:
    return cast("TensorType[Attribute]", result.type).element_type
