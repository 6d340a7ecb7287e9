"""Merges chains of `map`: an activation and its gate become one, an operator each no longer."""

from __future__ import annotations

from xdsl.dialects.builtin import f32
from xdsl.ir import Block, Region, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter

from headrace.ir.model_ops import MapOp
from headrace.ir.program_ops import YieldOp


def merge_maps(block: Block) -> None:
    """Merge every map whose only user is another map into that one."""
    for operation in reversed(list(block.ops)):
        consumer = operation
        while (
            consumer.parent is block
            and isinstance(consumer, MapOp)
            and (producer := _sole_producer(consumer)) is not None
        ):
            consumer = _merge(producer, consumer)


def _sole_producer(consumer: MapOp) -> MapOp | None:
    """A map that only `consumer` uses."""
    for value in consumer.inputs:
        users = {use.operation for use in value.uses}
        if isinstance(value.owner, MapOp) and users == {consumer}:
            return value.owner
    return None


def _merge(producer: MapOp, consumer: MapOp) -> MapOp:
    """Replace both by one map in the consumer's place."""
    inputs = list(dict.fromkeys(_spliced(producer, consumer)))
    block = Block(arg_types=[f32] * len(inputs))
    elements: dict[SSAValue, SSAValue] = dict(zip(inputs, block.args, strict=True))
    elements[producer.result] = _inline(producer, elements, block)
    block.add_op(YieldOp([_inline(consumer, elements, block)]))
    merged = MapOp(inputs, Region(block))
    merged.result.name_hint = consumer.result.name_hint
    Rewriter.replace_op(consumer, merged)
    Rewriter.erase_op(producer)
    return merged


def _spliced(producer: MapOp, consumer: MapOp) -> list[SSAValue]:
    """The consumer's inputs with the producer's in place of its result."""
    inputs: list[SSAValue] = []
    for value in consumer.inputs:
        inputs += producer.inputs if value is producer.result else [value]
    return inputs


def _inline(source: MapOp, elements: dict[SSAValue, SSAValue], target: Block) -> SSAValue:
    """Move a map's arithmetic to the end of `target`; its result there."""
    values = [elements[value] for value in source.inputs]
    Rewriter.inline_block(source.block, InsertPoint.at_end(target), values)
    last = target.last_op
    assert isinstance(last, YieldOp)
    (result,) = last.values
    Rewriter.erase_op(last)
    return result
