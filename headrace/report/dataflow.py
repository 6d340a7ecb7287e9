"""A mapped program as a graph: stages and what flows between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, BlockArgument, OpResult, SSAValue

from headrace.errors import ProgramError
from headrace.ir.mapping_ops import LoopOp, StageOp
from headrace.ir.model_ops import SelectOp
from headrace.ir.program_ops import ProgramOp, ReturnOp, YieldOp
from headrace.ir.shapes import features_of
from headrace.ir.stages import access, outer_values, stage_name, stage_ops, storage
from headrace.ir.types import CacheType
from headrace.passes.programs import program_of

TOKENS, NEXT = "tokens", "next tokens"

Reading = Literal["all", "own", "private"]


@dataclass(frozen=True, slots=True)
class Node:
    """A place in the graph; `loop` numbers the loop it belongs to. Names are unique.

    A "carry" node stands for the values that a loop hands from trip to trip.
    """

    name: str
    kind: Literal["input", "stage", "carry", "output"]
    loop: int | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """What flows from one node to another.

    Attributes:
        label: the shape. reading: "all" of it by every worker, only its "own" rows, or from the
            worker's "private" copy. token: a token edge guards it. back: to the loop's next trip.
    """

    source: str
    target: str
    label: str
    reading: Reading
    token: bool = False
    back: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """A token edge that guards no stream drawn between the same nodes (an overwrite)."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class CacheFlow:
    """A KV cache between the stage that appends to it and the one that attends to it."""

    value: SSAValue
    writer: str
    reader: str


@dataclass(frozen=True, slots=True)
class Dataflow:
    """Nodes in program order, the streams, caches and lone waits between them.

    `trips` holds the trip count of each loop, `stages` the operators behind the stage nodes.
    """

    nodes: tuple[Node, ...]
    streams: tuple[Stream, ...]
    caches: tuple[CacheFlow, ...]
    waits: tuple[Wait, ...]
    trips: tuple[int, ...]
    stages: dict[str, StageOp]


def dataflow(module: ModuleOp) -> Dataflow:
    """Read the graph off a mapped program.

    Raises:
        ProgramError: the program is not mapped.
    """
    return _Reader(program_of(module)).read()


class _Reader:
    def __init__(self, program: ProgramOp) -> None:
        self.program = program
        self.loops = [op for op in program.block.ops if isinstance(op, LoopOp)]
        self.stages = {stage_name(s): s for s in program.walk() if isinstance(s, StageOp)}
        self.selected = _selected(self.stages)

    def read(self) -> Dataflow:
        streams, waits = self._guarded(_merged(self._streams()))
        return Dataflow(
            nodes=(Node(TOKENS, "input"), *self._nodes(), Node(NEXT, "output")),
            streams=streams,
            caches=tuple(self._caches()),
            waits=waits,
            trips=tuple(loop.trip_count for loop in self.loops),
            stages=self.stages,
        )

    def _nodes(self) -> Iterator[Node]:
        for op in self.program.block.ops:
            if isinstance(op, LoopOp):
                number = self.loops.index(op)
                yield Node(_carry(number), "carry", number)
                yield from (Node(stage_name(s), "stage", number) for s in _stages(op.block))
            elif isinstance(op, StageOp):
                yield Node(stage_name(op), "stage")

    def _streams(self) -> Iterator[Stream]:
        for stage in self.stages.values():
            for value in outer_values(stage):
                source = None if isinstance(value.type, CacheType) else self._producer(value)
                if source is not None:
                    label = self._label(value)
                    yield Stream(source, stage_name(stage), label, _reading(stage, value))
        for number, loop in enumerate(self.loops):
            yield from self._carried(loop, _carry(number))
        yield from self._returned()

    def _carried(self, loop: LoopOp, carry: str) -> Iterator[Stream]:
        last = loop.block.last_op
        assert isinstance(last, YieldOp)
        for init, value in zip(loop.inits, last.values, strict=True):
            label = self._label(value)
            reading: Reading = "private" if storage(value) == "private" else "all"
            for source, back in ((init, False), (value, True)):
                producer = self._producer(source)
                if producer is not None:
                    yield Stream(producer, carry, label, reading, back=back)

    def _returned(self) -> Iterator[Stream]:
        last = self.program.block.last_op
        assert isinstance(last, ReturnOp)
        source = self._producer(last.values[-1])
        if source is not None:
            yield Stream(source, NEXT, self._label(last.values[-1]), "all")

    def _producer(self, value: SSAValue) -> str | None:
        """The node that gives a value; None for the program's other arguments."""
        owner = value.owner
        if isinstance(value, BlockArgument):
            parent = value.block.parent_op()
            if isinstance(parent, LoopOp):
                return _carry(self.loops.index(parent))
            return TOKENS if value.index == 0 else None
        if isinstance(owner, StageOp):
            return stage_name(owner)
        return self._producer(_last_value(value))

    def _label(self, value: SSAValue) -> str:
        owner = value.owner
        selected = isinstance(owner, StageOp) and stage_name(owner) in self.selected
        return " × ".join(["outputs" if selected else "T", *map(str, features_of(value))])

    def _caches(self) -> Iterator[CacheFlow]:
        for stage in self.stages.values():
            for value in outer_values(stage):
                writer = value.owner
                if isinstance(value.type, CacheType) and isinstance(writer, StageOp):
                    yield CacheFlow(value, stage_name(writer), stage_name(stage))

    def _guarded(self, streams: list[Stream]) -> tuple[tuple[Stream, ...], tuple[Wait, ...]]:
        """The streams with their token edges, and the token edges that fit none."""
        waits: list[Wait] = []
        for name, stage in self.stages.items():
            for edge in stage.after or ():
                found = self._guarding(streams, edge.stage_name, name, bool(edge.distance.data))
                for index in found:
                    streams[index] = replace(streams[index], token=True)
                if not found:
                    waits.append(Wait(edge.stage_name, name))
        return tuple(streams), tuple(dict.fromkeys(waits))

    def _guarding(self, streams: list[Stream], source: str, target: str, back: bool) -> list[int]:
        targets = {target} | {each.source for each in streams if each.target == target}
        carries = {_carry(number) for number in range(len(self.loops))}
        targets = {each for each in targets if each == target or each in carries}
        return [
            index
            for index, each in enumerate(streams)
            if each.source == source and each.target in targets and each.back == back
        ]


def _selected(stages: dict[str, StageOp]) -> set[str]:
    """The stages whose results have one row for each output, not for each token."""
    found: set[str] = set()
    for name, stage in stages.items():
        producers = (value.owner for value in outer_values(stage))
        behind = any(isinstance(p, StageOp) and stage_name(p) in found for p in producers)
        if behind or any(isinstance(op, SelectOp) for op in stage_ops(stage)):
            found.add(name)
    return found


def _carry(number: int) -> str:
    return f"carry {number}"


def _stages(block: Block) -> Iterator[StageOp]:
    return (op for op in block.ops if isinstance(op, StageOp))


def _last_value(value: SSAValue) -> SSAValue:
    """The value that a loop's last trip yields for one of its results."""
    owner = value.owner
    if not (isinstance(owner, LoopOp) and isinstance(value, OpResult)):
        raise ProgramError("a value outside of stages has no producer", where=f"{value}")
    last = owner.block.last_op
    assert isinstance(last, YieldOp)
    return last.values[value.index]


def _reading(stage: StageOp, value: SSAValue) -> Reading:
    if storage(value) == "private":
        return "private"
    return access(stage, value)


def _merged(streams: Iterator[Stream]) -> list[Stream]:
    """One stream for all values between the same nodes that are read in the same way."""
    labels: dict[tuple[str, str, Reading, bool], list[str]] = {}
    for each in streams:
        key = (each.source, each.target, each.reading, each.back)
        labels.setdefault(key, []).append(each.label)
    return [
        Stream(source, target, ", ".join(dict.fromkeys(texts)), reading, back=back)
        for (source, target, reading, back), texts in labels.items()
    ]
