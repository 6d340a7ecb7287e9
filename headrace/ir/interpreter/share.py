"""The operators whose work a stage divides: what one worker does of each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from xdsl.ir import Operation, SSAValue

from headrace.errors import ProgramError
from headrace.ir.attention_ops import AppendOp, AttentionOp
from headrace.ir.interpreter import attention, handles, ownership
from headrace.ir.interpreter.arrays import Array, Floats, Mask
from headrace.ir.interpreter.clocks import Execution
from headrace.ir.interpreter.evaluator import Evaluator
from headrace.ir.interpreter.handles import Handle
from headrace.ir.interpreter.inputs import StepInputs
from headrace.ir.interpreter.kv import KVCache
from headrace.ir.interpreter.memory import Accessor, Instance, Memory, Place
from headrace.ir.interpreter.model import Model, per_trip
from headrace.ir.interpreter.schedule import Schedule
from headrace.ir.mapping_ops import StageOp
from headrace.ir.model_ops import LinearOp
from headrace.ir.shapes import features_of
from headrace.ir.shares import bound_ranges, shard_of
from headrace.ir.stages import has_axis, stage_name


class ShareEvaluator(Evaluator):
    """Evaluates one worker's share of products, appends and attention.

    by: who accesses memory: the worker, and the execution in which it is.
    handles: where the values that stages exchange are.
    masks: the features that the worker owns, of the current stage's values.
    """

    def __init__(
        self,
        index: int,
        model: Model,
        cache: KVCache,
        quantise_activations: bool,
        schedule: Schedule,
        memory: Memory,
        inputs: StepInputs,
    ) -> None:
        super().__init__(model, cache, quantise_activations)
        self.index = index
        self.schedule = schedule
        self.memory = memory
        self.inputs = inputs
        self.handles: dict[SSAValue, Handle] = {}
        self.masks: dict[SSAValue, Mask] = {}
        self.by = Accessor(index, Execution("", 0))

    def linear(self, op: LinearOp) -> Floats:
        """The worker's own rows of a product, the others are NaN; or its part of all sums."""
        weight = self.array(op.weight)
        if has_axis(_stage_of(op), "columns"):
            return self._partial_sums(op, weight)
        own = self.masks.get(op.result, np.ones(len(weight), np.bool_))
        result = np.full((len(self.array(op.input)), len(weight)), np.nan, np.float32)
        result[:, own] = self.product_input(op) @ weight[own].T
        return result + self.array(op.bias[0]) if op.bias else result

    def _partial_sums(self, op: LinearOp, weight: Floats) -> Floats:
        stage = _stage_of(op)
        if op.bias:
            raise ProgramError(
                "a product by columns has no bias: every worker would add it",
                where=f"stage @{stage_name(stage)}",
            )
        own = bound_ranges(shard_of(stage), weight.shape[1])[self.index]
        columns = slice(own.start, own.stop)
        return self.product_input(op)[:, columns] @ weight[:, columns].T

    def append(self, op: AppendOp) -> int:
        stage, tokens = _stage_of(op), len(self.inputs.tokens)
        keys, values = (
            ownership.own_heads(stage, each, self.masks, tokens, self.index, self.schedule.workers)
            for each in (op.key, op.value)
        )
        instance = Instance(self.by.execution, -1)
        layer = self.layer_appended(op.cache)
        for kind, own in (("keys", keys), ("values", values)):
            mask = own.ravel()
            touched = np.zeros(len(mask))
            self.memory.write(self.by, Place(kind, layer), instance, touched, mask)
        return self.append_own(op, keys, values)

    def attention(self, op: AttentionOp) -> Array:
        """The worker's share: packed partial results by context, final ones of heads or all."""
        stage = _stage_of(op)
        heads, value_head = features_of(op.result)
        partial = attention.Partial.empty(len(self.inputs.tokens), heads, value_head)
        is_shared = has_axis(stage, "context")
        for token, visible, kv_heads in self._share(op) if is_shared else self._whole(op):
            self._read_entries(op, token, visible, kv_heads)
            # One worker's part of the entries holds the sinks.
            is_first = self.index == 0 or not is_shared or len(self.inputs.tokens) > 1
            self.attend(op, token, visible, partial, kv_heads, with_sinks=is_first)
        return partial.packed() if is_shared else attention.merge([partial])

    def _whole(self, op: AttentionOp) -> Iterator[tuple[int, Array, slice]]:
        """All tokens and positions, of the worker's heads if the stage is sharded by heads."""
        own, shard = slice(None), shard_of(_stage_of(op))
        if shard.axis == "heads":
            own = slice(*shard.bounds[self.index : self.index + 2])
        for token in range(len(self.inputs.tokens)):
            yield token, self.visible(op, token), own

    def _share(self, op: AttentionOp) -> Iterator[tuple[int, Array, slice]]:
        """The (token, positions, KV heads) of the worker."""
        tokens, workers = len(self.inputs.tokens), self.schedule.workers
        if tokens == 1:
            yield 0, np.array_split(self.visible(op, 0), workers)[self.index], slice(None)
            return
        kv_heads = self._kv_heads(op)
        for head, block in ownership.attention_items(tokens, kv_heads, self.index, workers):
            for token in block:
                yield token, self.visible(op, token), slice(head, head + 1)

    def _kv_heads(self, op: AttentionOp) -> int:
        entries = self.cache.of(self.layer_of(op), int(self.inputs.sequences[0]))
        assert entries is not None
        return entries.keys.shape[1]

    def _read_entries(self, op: AttentionOp, token: int, visible: Array, heads: slice) -> None:
        """Check the reads of entries that this step appends."""
        rows = handles.token_rows(self.inputs, int(self.inputs.sequences[token]), visible)
        mask = np.zeros((len(self.inputs.tokens), self._kv_heads(op)), np.bool_)
        mask[rows, heads] = True
        handle = self.handles[op.cache]
        instance = Instance(handle.instance.execution, -1)
        for kind in ("keys", "values"):
            self.memory.read(self.by, Place(kind, handle.layer), instance, mask.ravel())

    def layer_appended(self, cache: SSAValue) -> int:
        append = cache.owner
        assert isinstance(append, AppendOp)
        return per_trip(append.layers.data, self.trip)


def _stage_of(op: Operation) -> StageOp:
    stage = op.parent_op()
    assert isinstance(stage, StageOp)
    return stage
