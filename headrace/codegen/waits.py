"""Before a stage: which counts its worker waits for, and which weights it asks for meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headrace.codegen.frame import Frame, worker_table
from headrace.codegen.plan import Plan
from headrace.codegen.row_blocks import RowBlocks
from headrace.codegen.structure import Section
from headrace.codegen.tile import Emitter, Value
from headrace.codegen.tokens import await_workers
from headrace.codegen.trace import Trace
from headrace.ir.mapping_ops import StageOp
from headrace.ir.stages import stage_name

#: Where a stretch of weights begins and ends.
Stretch = tuple[Value, Value]


@dataclass(frozen=True, slots=True)
class Waits:
    """Emits the waits of a program into one function."""

    e: Emitter
    frame: Frame
    plan: Plan

    def before(self, stage: StageOp) -> None:
        """Wait for a stage's token edges; without any, go on.

        Who takes a step's rows in blocks waits for each of them when it comes to it.
        """
        if stage.after is None or not stage.after.data or self.plan.workers == 1:
            return
        if self.plan.takes_blocks(stage):
            with self.e.when(RowBlocks(self.e, self.frame).count.equals(1)):
                self._all(stage)
        else:
            self._all(stage)

    def _all(self, stage: StageOp) -> None:
        assert stage.after is not None
        targets = [
            self._target(stage, self._named(token.stage_name), token.distance.data)
            for token in stage.after.data
        ]
        target = targets[0]
        for other in targets[1:]:
            target = self.e.maximum(target, other)
        self._await(self.plan.workers, target, self._next_weights(stage))

    def for_first_worker(self) -> None:
        """Wait until worker 0 has finished as many stages as this worker."""
        names = (stage for stage in self.plan.stages if self.plan.stage_streams(stage))
        weights = self._stretch(next(names), self.e.i64(0))
        self._await(1, self.frame.get("sequence"), weights)

    def _await(self, workers: int, target: Value, weights: Stretch) -> None:
        traced = self.plan.traced
        wait = await_workers(self.e.module, self.e.features, traced)
        trace = Trace(self.e, self.frame, traced)
        trace.note("target", lambda: target)
        with trace.asking(weights[0]):
            self.e.call(wait, self.frame.base, self.e.i64(workers), target, *weights)

    def _named(self, name: str) -> StageOp:
        return next(stage for stage in self.plan.stages if stage_name(stage) == name)

    def _target(self, stage: StageOp, producer: StageOp, distance: int) -> Value:
        """The count of finished stages at which `producer` is done.

        Counts are relative to this worker's own: all workers run the same stages in one order. A
        producer of an earlier section has been executed for the last time there.
        """
        sections = self.plan.sections
        own, other = self.plan.section(stage), self.plan.section(producer)
        place, count = own.stages.index(stage), self.frame.get("sequence")
        if own is other:
            behind = place - own.stages.index(producer) + distance * len(own.stages)
            return count - (behind - 1)
        between = sections[sections.index(other) + 1 : sections.index(own)]
        behind = place + sum(each.trips * len(each.stages) for each in between)
        behind += len(other.stages) - other.stages.index(producer)
        return count - (self._trip(own) * len(own.stages) + (behind - 1))

    def _trip(self, section: Section) -> Value:
        """The number of the current trip of the section that is being executed."""
        return self.e.i64(0) if section.loop is None else self.frame.get("trip")

    def _next_weights(self, stage: StageOp) -> Stretch:
        """The weights that this worker reads next: this stage's, or the next product's."""
        plan, section = self.plan, self.plan.section(stage)
        later = section.stages[section.stages.index(stage) :]
        products = [each for each in later if plan.stage_streams(each)]
        if products:
            return self._stretch(products[0], self._trip(section))
        again = [each for each in section.stages if plan.stage_streams(each)]
        if section.loop is not None and again:
            return self._stretch(again[0], self._trip(section) + 1)
        after = plan.stages[plan.stages.index(stage) :] + plan.stages
        return self._stretch(
            next(each for each in after if plan.stage_streams(each)), self.e.i64(0)
        )

    def _stretch(self, stage: StageOp, trip: Value) -> Stretch:
        streams = self.plan.stage_streams(stage)
        at = self._by_worker([stream.at.data[0] for stream in streams])
        stride = self._by_worker([stream.trip.data[0] for stream in streams])
        bytes = self._by_worker([stream.bytes.data[0] for stream in streams])
        start = self.e.offset(self.frame.get("stream"), at + trip * stride)
        return start, self.e.offset(start, bytes)

    def _by_worker(self, values: Sequence[int]) -> Value:
        return worker_table(self.e, self.frame, values, "next_weights")
