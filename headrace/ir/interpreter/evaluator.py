"""One operator after the other on whole arrays: the meaning of the model operators."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from xdsl.ir import Operation, SSAValue

from headrace.errors import ProgramError, RequestError
from headrace.formats.entries import round_entries
from headrace.ir.attention_ops import AppendOp, AttentionOp, RopeOp
from headrace.ir.interpreter import arrays, attention
from headrace.ir.interpreter.arrays import Array, Floats, Mask
from headrace.ir.interpreter.inputs import StepInputs
from headrace.ir.interpreter.kv import KVCache
from headrace.ir.interpreter.model import Model, per_trip
from headrace.ir.interpreter.scalars import run_map
from headrace.ir.model_ops import (
    EmbeddingOp,
    LinearOp,
    MapOp,
    NormOp,
    ReshapeOp,
    SampleOp,
    SelectOp,
)
from headrace.ir.program_ops import WeightOp
from headrace.ir.shapes import features_of

#: What a value is while a program runs: an array, or the number of a KV cache.
Value: TypeAlias = Array | int


class Evaluator:
    """Evaluates model operators; `values` holds what every SSA value is.

    `quantise_activations` rounds what the program keeps in fewer bits than float32: the inputs
    of products with `activation "q8"`, and the KV entries by their `format`.
    """

    def __init__(self, model: Model, cache: KVCache, quantise_activations: bool) -> None:
        self.model = model
        self.cache = cache
        self.quantise_activations = quantise_activations
        self.values: dict[SSAValue, Value] = {}
        self.trip = 0

    def bind(self, targets: Iterable[SSAValue], values: Iterable[Value]) -> None:
        self.values.update(zip(targets, values, strict=True))

    def array(self, value: SSAValue) -> Array:
        array = self.values[value]
        assert not isinstance(array, int)
        return array

    def evaluate(self, op: Operation) -> None:
        """Compute the results of one model operator; ProgramError for any other."""
        with np.errstate(all="ignore"):
            self.values[op.results[0]] = self._result(op)

    def _result(self, op: Operation) -> Value:
        match op:
            case WeightOp():
                return self.model.weight(op, self.trip)
            case EmbeddingOp():
                return self._embedding(op)
            case LinearOp():
                return self.linear(op)
            case NormOp():
                return self._norm(op)
            case ReshapeOp():
                x = self.array(op.input)
                return x.reshape(len(x), *features_of(op.result))
            case RopeOp():
                return self._rope(op)
            case MapOp():
                return run_map(op.block, [self.array(value) for value in op.inputs])
            case SelectOp():
                return self.array(op.input)[self.array(op.outputs)]
            case AppendOp():
                return self.append(op)
            case AttentionOp():
                return self.attention(op)
            case SampleOp():
                return arrays.largest(self.array(op.logits))
            case _:
                raise ProgramError(f"the interpreter does not know {op.name}", where=op.name)

    def _embedding(self, op: EmbeddingOp) -> Floats:
        ids, table = self.array(op.ids), self.array(op.table)
        if np.any((ids < 0) | (ids >= len(table))):
            are_positions = op.ids is self.model.program.positions
            raise RequestError(
                f"the table has {len(table)} entries, from 0",
                where="positions" if are_positions else "tokens",
            )
        return table[ids]

    def _optional(self, value: SSAValue | None) -> Floats | None:
        return None if value is None else self.array(value)

    def _norm(self, op: NormOp) -> Floats:
        return arrays.norm(
            self.array(op.input),
            self._optional(op.weight),
            self._optional(op.bias),
            op.epsilon.only,
            op.offset.only,
            is_layer=op.is_layer,
        )

    def _rope(self, op: RopeOp) -> Floats:
        x = self.array(op.input)
        table = self.model.table(per_trip(op.table_names(), self.trip), x.shape[-1])
        positions = self.array(op.positions)
        return arrays.rope(x, positions, table.frequencies, table.scale, op.style.data)

    def product_input(self, op: LinearOp) -> Floats:
        """A product's input, in the format in which it enters."""
        x = self.array(op.input)
        is_q8 = op.activation is not None and op.activation.data == "q8"
        return arrays.round_to_q8(x) if is_q8 and self.quantise_activations else x

    def linear(self, op: LinearOp) -> Floats:
        bias = self.array(op.bias[0]) if op.bias else None
        return arrays.linear(self.product_input(op), self.array(op.weight), bias)

    def stored(self, op: AppendOp, x: Floats) -> Floats:
        """Keys or values, in the format in which the cache keeps them."""
        if op.format is None or not self.quantise_activations:
            return x
        return round_entries(x, op.format.data)

    def append(self, op: AppendOp) -> int:
        own = np.ones((len(self.array(op.key)), features_of(op.key)[0]), np.bool_)
        return self.append_own(op, own, own)

    def append_own(self, op: AppendOp, own_keys: Mask, own_values: Mask) -> int:
        """Append the KV heads of tokens that the caller owns; gives the number of the cache.

        `own_keys` and `own_values` are [T, kv heads].
        """
        layer = per_trip(op.layers.data, self.trip)
        self.cache.append(
            layer,
            self.array(op.sequences),
            self.array(op.positions),
            self.stored(op, self.array(op.key)),
            self.stored(op, self.array(op.value)),
            own_keys,
            own_values,
        )
        return layer

    def attention(self, op: AttentionOp) -> Floats:
        query = self.array(op.query)
        heads, value_head = features_of(op.result)
        partial = attention.Partial.empty(len(query), heads, value_head)
        for token in range(len(query)):
            self.attend(op, token, self.visible(op, token), partial)
        return attention.merge([partial])

    def layer_of(self, op: AttentionOp) -> int:
        layer = self.values[op.cache]
        assert isinstance(layer, int)
        return layer

    def visible(self, op: AttentionOp, token: int) -> Array:
        """The positions to which a token attends."""
        entries = self.cache.of(self.layer_of(op), int(self.array(op.sequences)[token]))
        window = per_trip(op.windows.data, self.trip)
        if entries is None:
            return np.empty(0, np.intp)
        return entries.visible(int(self.array(op.positions)[token]), window)

    def attend(
        self,
        op: AttentionOp,
        token: int,
        visible: Array,
        partial: attention.Partial,
        kv_heads: slice = slice(None),
        *,
        with_sinks: bool = True,
    ) -> None:
        """Put one token's attention to `visible` positions of some KV heads into `partial`."""
        entries = self.cache.of(self.layer_of(op), int(self.array(op.sequences)[token]))
        if entries is None or not len(visible):
            return
        query = self.array(op.query)[token]
        group = len(query) // entries.keys.shape[1]
        first, last, _ = kv_heads.indices(entries.keys.shape[1])
        heads = slice(first * group, last * group)
        keys, values = entries.keys[visible, kv_heads], entries.values[visible, kv_heads]
        distances = visible - int(self.array(op.positions)[token])
        scoring = self._scoring(op, with_sinks).of_heads(heads)
        largest, total, output = attention.attend(query[heads], keys, values, distances, scoring)
        partial.largest[token, heads] = largest
        partial.total[token, heads] = total
        partial.output[token, heads] = output

    def _scoring(self, op: AttentionOp, with_sinks: bool) -> attention.Scoring:
        heads = features_of(op.query)[0]
        slopes = np.asarray(op.slopes.data or [0.0] * heads, np.float32)
        sinks = self._optional(op.sinks) if with_sinks else None
        if sinks is None:
            sinks = np.full(heads, -np.inf, np.float32)
        return attention.Scoring(op.scale.only, op.softcap.only, slopes, sinks)


def bind_inputs(evaluator: Evaluator, step: StepInputs) -> None:
    """Give a program's arguments their arrays."""
    evaluator.bind(evaluator.model.program.block.args, step.arrays())
