"""A mapped program run by simulated workers, in a random order that its token edges allow."""

from __future__ import annotations

import random
from collections.abc import Generator, Sequence

from xdsl.ir import SSAValue

from headrace.errors import ProgramError
from headrace.ir.attention_ops import AppendOp
from headrace.ir.interpreter.clocks import Clocks, Execution
from headrace.ir.interpreter.evaluator import Value, bind_inputs
from headrace.ir.interpreter.inputs import StepInputs
from headrace.ir.interpreter.kv import KVCache
from headrace.ir.interpreter.memory import Memory
from headrace.ir.interpreter.model import Model
from headrace.ir.interpreter.ownership import producers
from headrace.ir.interpreter.schedule import Schedule
from headrace.ir.interpreter.worker import Waits, Worker, outcome
from headrace.ir.program_ops import ReturnOp
from headrace.ir.shapes import features_of


class Team:
    """The workers of one step. A step begins when all have ended the one before."""

    def __init__(
        self,
        model: Model,
        cache: KVCache,
        quantise_activations: bool,
        inputs: StepInputs,
        order: random.Random,
    ) -> None:
        self._schedule = Schedule.of(model.program)
        self._clocks = Clocks.of(self._schedule.workers)
        self._order = order
        self._program = model.program
        memory = Memory(self._clocks)
        self._workers = [
            Worker(index, model, cache, quantise_activations, self._schedule, memory, inputs)
            for index in range(self._schedule.workers)
        ]
        for worker in self._workers:
            bind_inputs(worker, inputs)
        self._poison_entries(cache, inputs)

    def run(self) -> Sequence[Value]:
        """The program's results.

        Raises:
            ProgramError: a read or overwrite that no token edge orders, a worker that touches
                what is another's, or workers that wait for each other.
        """
        running = {worker.index: worker.run() for worker in self._workers}
        waits: dict[int, Waits] = dict.fromkeys(running, ())
        while running:
            index = self._choose(waits)
            self._acquire(index, waits[index])
            self._advance(index, running, waits)
        return [outcome(self._workers[0], value) for value in self._returned()]

    def _choose(self, waits: dict[int, Waits]) -> int:
        ready = [index for index, each in waits.items() if self._is_ready(index, each)]
        if not ready:
            places = "; ".join(str(self._workers[index].by) for index in waits)
            raise ProgramError("the workers wait for each other for ever", where=places)
        return self._order.choice(ready)

    def _signallers(self, worker: int, execution: Execution) -> list[int]:
        stage = self._schedule.stages[execution.stage]
        return [other for other in producers(stage, len(self._workers)) if other != worker]

    def _is_ready(self, worker: int, waits: Waits) -> bool:
        return all(
            self._clocks.has_signalled(execution, other)
            for execution in waits
            for other in self._signallers(worker, execution)
        )

    def _acquire(self, worker: int, waits: Waits) -> None:
        for execution in waits:
            for other in self._signallers(worker, execution):
                self._clocks.wait(worker, execution, other)

    def _advance(
        self, index: int, running: dict[int, Generator[Waits]], waits: dict[int, Waits]
    ) -> None:
        try:
            waits[index] = next(running[index])
        except StopIteration:
            del running[index], waits[index]

    def _returned(self) -> Sequence[SSAValue]:
        last = self._program.block.last_op
        assert isinstance(last, ReturnOp)
        return last.values

    def _poison_entries(self, cache: KVCache, inputs: StepInputs) -> None:
        """Make the entries that this step will append NaN, so that an early read shows."""
        for op in self._program.walk():
            if isinstance(op, AppendOp):
                features = features_of(op.key), features_of(op.value)
                for layer in op.layers.data:
                    cache.poison(layer, inputs.sequences, inputs.positions, *features)
