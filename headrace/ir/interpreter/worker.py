"""One simulated worker of a mapped program: it sees and writes only what is its own to touch."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from functools import reduce
from typing import TypeAlias

import numpy as np
from xdsl.ir import SSAValue

from headrace.errors import ProgramError
from headrace.ir.attention_ops import AttentionOp
from headrace.ir.interpreter import attention, handles, ownership
from headrace.ir.interpreter.arrays import Floats
from headrace.ir.interpreter.clocks import Execution
from headrace.ir.interpreter.evaluator import Value
from headrace.ir.interpreter.handles import Handle
from headrace.ir.interpreter.memory import Accessor, Instance, Place
from headrace.ir.interpreter.share import ShareEvaluator
from headrace.ir.mapping_ops import LoopOp, StageOp
from headrace.ir.program_ops import YieldOp
from headrace.ir.shapes import features_of
from headrace.ir.shares import shard_of
from headrace.ir.stages import has_axis, outer_values, stage_name
from headrace.ir.types import CacheType

#: What a worker waits for before it goes on; nothing, where others may simply come between.
Waits: TypeAlias = Sequence[Execution]


class Worker(ShareEvaluator):
    """Runs a mapped program's stages in order, as a coroutine that yields what it waits for."""

    def run(self) -> Generator[Waits]:
        """Run the whole program."""
        for op in self.model.program.block.ops:
            if isinstance(op, StageOp):
                yield from self._run_stage(op)
            elif isinstance(op, LoopOp):
                yield from self._run_loop(op)

    def _run_loop(self, loop: LoopOp) -> Iterator[Waits]:
        carried = [self.handles[value] for value in loop.inits]
        for trip in range(loop.trip_count):
            self.trip = trip
            self.handles.update(zip(loop.block.args, carried, strict=True))
            for op in loop.block.ops:
                if isinstance(op, StageOp):
                    yield from self._run_stage(op)
                elif isinstance(op, YieldOp):
                    carried = [self.handles[value] for value in op.values]
        self.trip = 0
        self.handles.update(zip(loop.results, carried, strict=True))

    def _run_stage(self, stage: StageOp) -> Iterator[Waits]:
        execution = Execution(stage_name(stage), self.trip)
        self.by = Accessor(self.index, execution)
        yield self.schedule.waits(stage, self.trip)
        self._name_results(stage, execution)
        if self._takes_part(stage):
            is_bounded = bool(shard_of(stage).bounds)
            self.masks = ownership.feature_masks(stage, self.index) if is_bounded else {}
            for value in outer_values(stage):
                self._read(stage, value)
            yield ()
            self._compute(stage)
            self._write(stage)
        self.memory.clocks.signal(execution, self.index)

    def _takes_part(self, stage: StageOp) -> bool:
        """Whether there is anything for this worker to write."""
        axis = shard_of(stage).axis
        is_copied = any(place.storage.data == "private" for place in stage.buffers or ())
        workers = ownership.producers(stage, self.schedule.workers)
        return axis == "all" or is_copied or self.index in workers

    def _name_results(self, stage: StageOp, execution: Execution) -> None:
        for number, (result, inner) in enumerate(zip(stage.results, stage.yielded, strict=True)):
            instance = Instance(execution, number)
            place = self._place(stage, number)
            rows = handles.row_count(inner, self.inputs)
            if isinstance(inner.type, CacheType):
                self.handles[result] = Handle(instance, place, (self.layer_appended(inner),))
                continue
            is_softmax = place.storage == "partial" and has_axis(stage, "context")
            behind = handles.attention_behind(inner) if is_softmax else None
            self.handles[result] = Handle(
                instance,
                place,
                (rows, *features_of(inner)),
                handles.is_float(inner),
                () if behind is None else handles.partial_shape(behind, rows),
            )

    def _place(self, stage: StageOp, number: int) -> Place:
        assert stage.buffers is not None
        buffer = stage.buffers.data[number]
        storage = buffer.storage.data
        if (storage == "partial") != has_axis(stage, "context", "columns"):
            raise ProgramError(
                "partial storage and a shard over the context or columns belong together",
                where=str(self.by),
            )
        owner = self.index if storage in ("private", "partial") else -1
        return Place(storage, buffer.slot.data, owner)

    def _read(self, stage: StageOp, value: SSAValue) -> None:
        handle = self.handles.get(value)
        if handle is None:  # an argument of the program
            return
        if handle.place.storage == "cache":
            self.values[value] = handle.layer
        elif handle.place.storage == "partial":
            self.values[value] = self._read_partial(handle)
        else:
            mask = ownership.read_mask(stage, value, self.masks, handle.shape, self.index)
            flat = self.memory.read(self.by, handle.place, handle.instance, mask.ravel())
            self.values[value] = handle.array(flat)

    def _read_partial(self, handle: Handle) -> Floats:
        """All workers' parts, merged: sums in the order of the workers."""
        shape = handle.partial_shape or handle.shape
        mask = np.ones(int(np.prod(shape)), np.bool_)
        parts = list[Floats]()
        for owner in range(self.schedule.workers):
            place = Place(handle.place.storage, handle.place.slot, owner)
            flat = self.memory.read(self.by, place, handle.instance, mask)
            parts.append(flat.astype(np.float32).reshape(shape))
        if not handle.partial_shape:
            return reduce(np.add, parts)
        with np.errstate(all="ignore"):
            merged = attention.merge([attention.Partial.unpacked(part) for part in parts])
            return merged.reshape(handle.shape)

    def _compute(self, stage: StageOp) -> None:
        for op in stage.block.ops:
            if isinstance(op, YieldOp):
                return
            self.evaluate(op)
            if isinstance(op, AttentionOp) and has_axis(stage, "context"):
                return  # views of a partial result are taken by its reader

    def _write(self, stage: StageOp) -> None:
        for result, inner in zip(stage.results, stage.yielded, strict=True):
            handle = self.handles[result]
            if handle.place.storage == "cache":
                continue  # written by the append
            if handle.partial_shape:
                inner = handles.attention_behind(inner).result
            self._write_result(stage, handle, inner)

    def _write_result(self, stage: StageOp, handle: Handle, inner: SSAValue) -> None:
        array = self.array(inner)
        mask = ownership.write_mask(
            stage, inner, self.masks, array.shape, self.index, self.schedule.workers
        )
        if np.isnan(array[mask]).any():
            raise ProgramError(
                f"{handle.instance} is not a number where the worker owns it: computed from rows"
                " that are another's, or from weights that are not numbers",
                where=str(self.by),
            )
        flat = array.astype(np.float64).ravel()
        self.memory.write(self.by, handle.place, handle.instance, flat, mask.ravel())


def outcome(worker: Worker, value: SSAValue) -> Value:
    """A result of the program, when every worker has ended."""
    handle = worker.handles[value]
    size = int(np.prod(handle.shape))
    return handle.array(worker.memory.final(handle.place, handle.instance, size))
