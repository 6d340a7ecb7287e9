"""Walking programs: what several passes need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue

from headrace.errors import ProgramError
from headrace.ir.mapping_ops import LoopOp, StageOp
from headrace.ir.model_ops import LinearOp
from headrace.ir.program_ops import ProgramOp, WeightOp
from headrace.ir.stages import keeps_rows


def program_of(module: ModuleOp) -> ProgramOp:
    """The module's one program.

    Raises:
        ProgramError: there is none, or there are several.
    """
    programs = [op for op in module.ops if isinstance(op, ProgramOp)]
    if len(programs) != 1:
        raise ProgramError(f"a module needs one step.program, this one has {len(programs)}")
    return programs[0]


def stages_of(module: ModuleOp) -> Iterator[StageOp]:
    """The program's stages in order, those of loops among them."""
    for op in program_of(module).block.ops:
        if isinstance(op, LoopOp):
            yield from (each for each in op.block.ops if isinstance(each, StageOp))
        elif isinstance(op, StageOp):
            yield op


def row_sources(ops: Iterable[Operation]) -> dict[SSAValue, frozenset[LinearOp]]:
    """The linears whose rows each value is made of, row by row, among operators in order."""
    found: dict[SSAValue, frozenset[LinearOp]] = {}
    for op in ops:
        if isinstance(op, LinearOp):
            found[op.result] = frozenset([op])
        elif keeps_rows(op):
            none = frozenset[LinearOp]()
            found[op.results[0]] = none.union(*(found.get(value, none) for value in op.operands))
    return found


def erase_unused_weights(block: Block) -> None:
    """Erase the block's weights that nothing uses."""
    for op in tuple(block.ops):
        if isinstance(op, WeightOp) and not any(op.result.uses):
            op.detach()
            op.erase()


def require_stages(module: ModuleOp) -> None:
    """Check that every operator is in a stage.

    Raises:
        ProgramError: one is not.
    """
    blocks = [program_of(module).block]
    blocks += [op.block for op in blocks[0].ops if isinstance(op, LoopOp)]
    for block in blocks:
        for op in block.ops:
            if not isinstance(op, StageOp | LoopOp) and op is not block.last_op:
                raise ProgramError(
                    f"{op.name} is in no stage", where=str(op), hint="run fuse-stages before"
                )
