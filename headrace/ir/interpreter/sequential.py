"""A program run as it is written, by one worker: loops trip by trip, stages as plain regions."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import Block

from headrace.errors import ProgramError
from headrace.ir.interpreter.evaluator import Evaluator, Value
from headrace.ir.mapping_ops import LoopOp, StageOp
from headrace.ir.program_ops import ReturnOp, YieldOp


def run_block(evaluator: Evaluator, block: Block) -> Sequence[Value]:
    """Run a block; gives what its terminator yields or returns."""
    for op in block.ops:
        match op:
            case LoopOp():
                _run_loop(evaluator, op)
            case StageOp():
                evaluator.bind(op.results, run_block(evaluator, op.block))
            case YieldOp() | ReturnOp():
                return [evaluator.values[value] for value in op.values]
            case _:
                evaluator.evaluate(op)
    raise ProgramError("a region ends without step.yield or step.return")


def _run_loop(evaluator: Evaluator, loop: LoopOp) -> None:
    carried: Sequence[Value] = [evaluator.values[value] for value in loop.inits]
    for trip in range(loop.trip_count):
        evaluator.trip = trip
        evaluator.bind(loop.block.args, carried)
        carried = run_block(evaluator, loop.block)
    evaluator.trip = 0
    evaluator.bind(loop.results, carried)
