"""fuse-stages: the fewest stages, with prologues and epilogues in the stage of their product."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint

from headrace.errors import ProgramError
from headrace.ir.mapping_ops import LoopOp, StageOp
from headrace.ir.model_ops import LinearOp
from headrace.ir.program_ops import WeightOp, YieldOp
from headrace.ir.stages import carried_storage, row_heads, segments, storage
from headrace.passes.programs import erase_unused_weights, program_of, stages_of
from headrace.passes.stage_names import stage_names
from headrace.passes.stage_plan import Group, plan_stages

_UNNAMED = "stage"


@dataclass(frozen=True)
class FuseStagesPass(ModulePass):
    """Put every operator of the program into a `step.stage`.

    Before: operators in the program's block and in its loops, no stages.
    After: blocks hold stages and loops only. Linears with one input are one stage, with the
        row-wise operators before them as prologue and those on the same rows behind them as
        epilogue; but those that take it in another form (`activation`), or whose rows would be
        zipped with rows of another weight format, are stages of their own. Attention (with
        reshapes of its result), all embeddings (with element-wise maps), and sampling are
        stages; row-wise operators that no product follows in their block are one too, and so
        are those between a product and an append that needs other workers' rows. Weights stand in
        the stage that uses them, a copy in each. A loop-carried value starts in the storage in
        which the loop leaves it. Names say what a stage is.
    Leaves alone: what is computed. Pure operators that nothing uses are dropped.

    Raises:
        ProgramError: the program has stages already, or heads of several sizes meet in one
            product.
    """

    name = "fuse-stages"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        fuse(op)


def fuse(module: ModuleOp, alone: frozenset[LinearOp] = frozenset()) -> None:
    """What the pass does; products of `alone` get no epilogue: see `plan_stages`."""
    block = program_of(module).block
    _require_no_stages(module)
    loops = [each for each in block.ops if isinstance(each, LoopOp)]
    for loop in loops:
        _fuse(loop.block, alone)
    _fuse(block, alone)
    for loop in loops:
        _settle_carried(loop)
    for stage in stages_of(module):
        _require_whole_heads(stage)
    for stage, name in stage_names(tuple(stages_of(module))):
        stage.sym_name = StringAttr(name)


def unfuse(module: ModuleOp) -> None:
    """Take all stages away again: their operators stay, in their order."""
    for stage in tuple(stages_of(module)):
        at, yielded = Builder(InsertPoint.before(stage)), stage.yielded
        for result, inner in zip(stage.results_, yielded, strict=True):
            result.replace_all_uses_with(inner)
        for op in tuple(stage.block.ops):
            if not isinstance(op, YieldOp):
                op.detach()
                at.insert(op)
        stage.detach()
        stage.erase()


def _require_no_stages(module: ModuleOp) -> None:
    for stage in stages_of(module):
        raise ProgramError("the program has stages already", where=f"@{stage.sym_name.data}")


def _fuse(block: Block, alone: frozenset[LinearOp]) -> None:
    """Move a block's operators into stages."""
    groups = plan_stages(block, alone)
    end = InsertPoint.before(_last_op(block))
    for group in groups:
        if group.kind == "loop":
            (loop,) = group.body
            loop.detach()
            Builder(end).insert(loop)
        else:
            _build_stage(group, end)
    _erase_unused(block)


def _build_stage(group: Group, at: InsertPoint) -> None:
    body = Block()
    inner = Builder(InsertPoint.at_end(body))
    weights: dict[SSAValue, SSAValue] = {}
    for op in group.ops():
        _sink_weights(op, inner, weights)
        op.detach()
        inner.insert(op)
    results = [each for op in group.ops() for each in op.results if _is_used_outside(each, body)]
    inner.insert(YieldOp(results))
    stage = StageOp(_UNNAMED, Region(body), [value.type for value in results])
    Builder(at).insert(stage)
    for value, result in zip(results, stage.results_, strict=True):
        value.replace_uses_with_if(result, lambda use: not _is_within(use.operation, body))


def _sink_weights(op: Operation, inner: Builder, weights: dict[SSAValue, SSAValue]) -> None:
    """Let an operator use copies of its weights inside of the stage."""
    for index, value in enumerate(op.operands):
        if isinstance(value.owner, WeightOp):
            if value not in weights:
                weights[value] = inner.insert(value.owner.clone()).result
            op.operands[index] = weights[value]


def _is_used_outside(value: SSAValue, body: Block) -> bool:
    return any(not _is_within(use.operation, body) for use in value.uses)


def _is_within(op: Operation, block: Block) -> bool:
    parent = op.parent
    while parent is not None and parent is not block:
        owner = parent.parent_op()
        parent = None if owner is None else owner.parent
    return parent is block


def _erase_unused(block: Block) -> None:
    for op in reversed(tuple(block.ops)):
        if not isinstance(op, StageOp | LoopOp | WeightOp) and op is not block.last_op:
            op.detach()
            op.erase()
    erase_unused_weights(block)


def _settle_carried(loop: LoopOp) -> None:
    """Copy initial values that live elsewhere than the loop leaves them."""
    for index, init in enumerate(loop.inits):
        if storage(init) != carried_storage(loop, index):
            body = Block()
            Builder(InsertPoint.at_end(body)).insert(YieldOp([init]))
            stage = StageOp(_UNNAMED, Region(body), [init.type])
            Builder(InsertPoint.before(loop)).insert(stage)
            loop.operands[index] = stage.results_[0]


def _require_whole_heads(stage: StageOp) -> None:
    for segment in segments(stage):
        for head in row_heads(stage, segment.linears):
            if segment.unit_rows % head:
                raise ProgramError(
                    f"heads of {head} rows do not fit into units of {segment.unit_rows} rows",
                    where=f"stage @{stage.sym_name.data}",
                )


def _last_op(block: Block) -> Operation:
    last = block.last_op
    assert last is not None
    return last
