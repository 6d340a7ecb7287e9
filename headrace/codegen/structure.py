"""What a mapped module consists of: sections of stages, looped or not, and their streams."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from xdsl.dialects.builtin import ModuleOp

from headrace.errors import ProgramError
from headrace.ir.attention_ops import AppendOp
from headrace.ir.mapping_ops import LoopOp, StageOp, StreamOp
from headrace.ir.model_ops import EmbeddingOp, SampleOp
from headrace.ir.program_ops import ProgramOp
from headrace.ir.shapes import features_of, matrix_shape
from headrace.ir.stages import has_axis, stage_kind, stage_name, stage_ops

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Section:
    """Stages in a row: the body of one loop, or what stands between loops.

    trips: how often the row is executed in a step. loop: None outside of loops.
    """

    stages: tuple[StageOp, ...]
    trips: int
    loop: LoopOp | None


class Structure:
    """The parts of a mapped module, in order.

    Attributes:
        program: the module's only one. sections: its stages, none empty.

    Raises:
        ProgramError: there is not one program, or it is not mapped.
    """

    def __init__(self, module: ModuleOp) -> None:
        self.module = module
        self.program = _only_program(module)
        self.sections = tuple(_sections(self.program))
        _require_mapped(self.stages, self.streams)

    @cached_property
    def stages(self) -> list[StageOp]:
        return [stage for section in self.sections for stage in section.stages]

    def section(self, stage: StageOp) -> Section:
        """The section that a stage is in."""
        return next(section for section in self.sections if stage in section.stages)

    @cached_property
    def head(self) -> StageOp:
        """The stage whose products are the logits: the last one that has products."""
        return [stage for stage in self.stages if stage_kind(stage) == "product"][-1]

    def in_loop(self, stage: StageOp) -> bool:
        return self.section(stage).loop is not None

    def takes_blocks(self, stage: StageOp) -> bool:
        """Whether a stage takes the rows of the one before block by block (`row_blocks.py`).

        Attention does, of the product that appends its entries, if that is all it waits for, and if
        the stage behind it waits for all of attention: from then on all know what they would know
        if they had waited for the whole product.
        """
        stages = self.section(stage).stages
        place = stages.index(stage)
        if not has_axis(stage, "context") or not 0 < place < len(stages) - 1:
            return False
        before, behind = stages[place - 1], stages[place + 1]
        appends = any(isinstance(op, AppendOp) for op in stage_ops(before))
        only = _edges(stage) == [(stage_name(before), 0)]
        known = (stage_name(stage), 0) in _edges(behind)
        return stage_kind(before) == "product" and appends and only and known

    def streams_rows(self, stage: StageOp) -> bool:
        """Whether a stage hands on its rows block by block."""
        stages = self.section(stage).stages
        place = stages.index(stage) + 1
        return place < len(stages) and self.takes_blocks(stages[place])

    def stage_trips(self, stage: StageOp) -> int:
        """How often a stage is executed in one step."""
        return self.section(stage).trips

    @cached_property
    def workers(self) -> int:
        """The number of workers that the stages are sharded over.

        Raises:
            ProgramError: stages disagree, or none is sharded by rows.
        """
        counts = {
            len(stage.shard.data.bounds) - 1
            for stage in self.stages
            if stage.shard is not None and stage.shard.data.bounds
        }
        if len(counts) != 1:
            raise ProgramError(f"stages disagree on the number of workers: {sorted(counts)}")
        return counts.pop()

    def ops(self, kind: type[T]) -> Iterator[T]:
        """All operators of a kind, in order."""
        for stage in self.stages:
            for op in stage_ops(stage):
                if isinstance(op, kind):
                    yield op

    @cached_property
    def vocabulary(self) -> int:
        """Tokens that can be fed and sampled: rows of their embedding, as far as logits go.

        Raises:
            ProgramError: the tokens have no embedding.
        """
        tables = [op.table for op in self.ops(EmbeddingOp) if op.ids is self.program.tokens]
        if not tables:
            raise ProgramError("a program embeds its tokens")
        logits = (features_of(op.logits)[0] for op in self.ops(SampleOp))
        return min(*(matrix_shape(table)[0] for table in tables), *logits)

    @cached_property
    def streams(self) -> dict[str, list[StreamOp]]:
        """The streams of each stage by name, worker by worker."""
        found: dict[str, list[StreamOp]] = {}
        for op in self.module.ops:
            if isinstance(op, StreamOp):
                found.setdefault(op.stage.root_reference.data, []).append(op)
        return found

    def stage_streams(self, stage: StageOp) -> list[StreamOp]:
        """The streams of one stage, worker by worker; none if it has no products."""
        return self.streams.get(stage_name(stage), [])


def _edges(stage: StageOp) -> list[tuple[str, int]]:
    """The stages that one waits for, and how many trips ago they ran."""
    return [(each.stage_name, each.distance.data) for each in stage.after or ()]


def _only_program(module: ModuleOp) -> ProgramOp:
    programs = [op for op in module.ops if isinstance(op, ProgramOp)]
    if len(programs) != 1:
        raise ProgramError(f"a module to compile has one program, not {len(programs)}")
    return programs[0]


def _require_mapped(stages: list[StageOp], streams: dict[str, list[StreamOp]]) -> None:
    hint = "map the program before compiling it: headrace.passes.pipeline"
    if not stages or not streams:
        raise ProgramError("the program is not mapped onto workers", hint=hint)
    for stage in stages:
        if stage.shard is None or stage.buffers is None:
            missing = "shard" if stage.shard is None else "buffers"
            where = f"stage @{stage_name(stage)}"
            raise ProgramError(f"a stage has no {missing}", where=where, hint=hint)


def _sections(program: ProgramOp) -> Iterator[Section]:
    straight: list[StageOp] = []
    for op in program.block.ops:
        if isinstance(op, StageOp):
            straight.append(op)
        elif isinstance(op, LoopOp):
            if straight:
                yield Section(tuple(straight), 1, None)
            straight = []
            body = tuple(each for each in op.block.ops if isinstance(each, StageOp))
            yield Section(body, op.trip_count, op)
    if straight:
        yield Section(tuple(straight), 1, None)
