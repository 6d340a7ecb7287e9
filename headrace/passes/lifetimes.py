"""When each stage's results are written and read, and which of them must share one buffer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import OpResult, SSAValue

from headrace.ir.mapping_ops import LoopOp
from headrace.ir.program_ops import ProgramOp, YieldOp
from headrace.ir.stages import outer_values, storage
from headrace.passes.programs import program_of, stages_of
from headrace.passes.timeline import Made, Timeline


@dataclass(frozen=True, slots=True)
class Life:
    """One writing of a result, and where it is read before it is written again.

    reads: the places of executions, and the value by which each reads it.
    """

    place: int
    result: OpResult
    reads: tuple[tuple[int, SSAValue], ...]


@dataclass(frozen=True, slots=True)
class Web:
    """Results that must be in one buffer: what a loop carries, from its start to its end."""

    results: tuple[OpResult, ...]
    lives: tuple[Life, ...]


def webs_of(module: ModuleOp, timeline: Timeline) -> tuple[Web, ...]:
    """All results but caches, in order of their first writing."""
    program = program_of(module)
    lives = _lives(program, timeline)
    leaders = _leaders(program)
    groups: dict[SSAValue, list[OpResult]] = {}
    for stage in stages_of(module):
        for result in stage.results_:
            if storage(result) != "cache":
                groups.setdefault(_leader(leaders, result), []).append(result)
    webs = (_web(results, lives) for results in groups.values())
    return tuple(sorted(webs, key=lambda web: web.lives[0].place))


def _web(results: Sequence[OpResult], lives: Sequence[Life]) -> Web:
    members = set(results)
    return Web(tuple(results), tuple(life for life in lives if life.result in members))


def _lives(program: ProgramOp, timeline: Timeline) -> list[Life]:
    """All writings in order. What the program returns is read behind the last execution."""
    reads: dict[Made, list[tuple[int, SSAValue]]] = {
        Made(at.place, result): [] for at in timeline.executions for result in at.stage.results_
    }
    for at in timeline.executions:
        for value in outer_values(at.stage):
            made = timeline.maker(value, at)
            if made is not None:
                reads[made].append((at.place, value))
    end = len(timeline.executions)
    for value in _last_values(program):
        made = timeline.maker_at_end(value)
        if made is not None:
            reads[made].append((end, value))
    return [Life(made.place, made.result, tuple(places)) for made, places in reads.items()]


def _last_values(program: ProgramOp) -> Sequence[SSAValue]:
    last = program.block.last_op
    return () if last is None else last.operands


def _leaders(program: ProgramOp) -> dict[SSAValue, SSAValue]:
    """A forest that joins each loop's initial values, arguments, yields and results."""
    leaders: dict[SSAValue, SSAValue] = {}
    for loop in (op for op in program.block.ops if isinstance(op, LoopOp)):
        last = loop.block.last_op
        assert isinstance(last, YieldOp)
        for values in zip(loop.inits, loop.block.args, last.values, loop.results_, strict=True):
            first = _leader(leaders, values[0])
            for value in values[1:]:
                other = _leader(leaders, value)
                if other is not first:
                    leaders[other] = first
    return leaders


def _leader(leaders: dict[SSAValue, SSAValue], value: SSAValue) -> SSAValue:
    while value in leaders:
        value = leaders[value]
    return value
