"""Completes a program: its results, merged maps, and the selection of rows."""

from __future__ import annotations

from xdsl.ir import SSAValue

from headrace.errors import UnsupportedModelError
from headrace.frontend.emitter import Emitter
from headrace.frontend.merge_maps import merge_maps
from headrace.frontend.values import Value
from headrace.ir.model_ops import LinearOp, MapOp, NormOp, ReshapeOp, SampleOp, SelectOp
from headrace.ir.program_ops import ReturnOp


def finish(emitter: Emitter, logits: Value) -> None:
    """Return the logits and the tokens sampled from them; merge maps; drop rows not asked for.

    Raises:
        UnsupportedModelError: the model does not return one row of logits a token.
    """
    if not logits.is_laid_out(0, 1) or len(logits.features) != 1:
        raise UnsupportedModelError(
            "the model does not return one row of logits a token",
            hint="return logits of shape [1, T, vocabulary] from forward",
        )
    sample = SampleOp(logits.ssa)
    logits.ssa.name_hint, sample.result.name_hint = "logits", "next"
    emitter.append(sample)
    emitter.append(ReturnOp([logits.ssa, sample.result]))
    merge_maps(emitter.block)
    _select(emitter, sample.logits)


def _select(emitter: Emitter, logits: SSAValue) -> None:
    """Select the rows asked for as soon as only the logits need them: before the chain of
    row-wise operators of one value each (final norm, head, what follows) that gives the logits."""
    value = logits
    while (previous := _only_source(value)) is not None:
        value = previous
    select = SelectOp(value, emitter.outputs)
    select.result.name_hint = "selected"
    users = [use for use in value.uses if use.operation is not select]
    emitter.block.insert_op_before(select, users[0].operation)
    for use in users:
        use.operation.operands[use.index] = select.result


def _only_source(value: SSAValue) -> SSAValue | None:
    """The value a row-wise operator makes `value` from, if it needs no other and none needs it."""
    operation = value.owner
    if isinstance(operation, MapOp):
        source = operation.inputs[0] if len(operation.inputs) == 1 else None
    elif isinstance(operation, LinearOp | NormOp | ReshapeOp):
        source = operation.input
    else:
        return None
    return source if source is not None and source.has_one_use() else None
