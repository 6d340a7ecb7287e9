"""Sampling the next token from logits, without sorting the vocabulary.

Weights are exp((logit - largest) / temperature). `top_k` and `top_p` keep the weights above a
threshold, found by bisection over the bit patterns of positive floats (they order as integers):
each step is one pass over the vocabulary. The order is that of transformers: temperature, top_k,
top_p, min_p. The random number depends on the seed and the position only.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from headrace.codegen.mathematics import exp
from headrace.codegen.sequences import SequenceRecord
from headrace.codegen.tile import (
    F32,
    F64,
    I1,
    I32,
    I64,
    PTR,
    Emitter,
    Value,
    function,
    vector,
)

_BITS_OF_ONE = 0x3F800000
_BISECTIONS = 31
_NEGATIVE = -3.0e38
_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15
_MIX = (-4658895280553007687, -7723592293110705685)  # the multipliers of splitmix64


def largest_index(module: ir.Module, features: frozenset[str], count: int) -> ir.Function:
    """The function `(values) -> i64`: the index of the largest of `count` floats, lowest first."""
    name = f"largest_index_{count}"
    found = module.globals.get(name)
    if found is not None:
        return found
    e, (values,) = function(module, name, [PTR], features, result=I64)
    best = e.variable(e.const(_NEGATIVE, vector(F32)))
    where = e.variable(e.const(0, vector(I32)))
    for index, mask in e.lanes(count):
        own = _floats(e, values, index, mask, _NEGATIVE)
        better = own > best.get()
        where.set(e.select(better, e.iota() + e.trunc(index, I32), where.get()))
        best.set(e.maximum(best.get(), own))
    top = e.reduce_max(best.get())
    candidates = e.select(best.get().equals(top), where.get(), count)
    e.give(e.sext(e.reduce_min(candidates), I64))
    return e.function


def _floats(e: Emitter, base: Value, index: Value, mask: Value | None, fill: float) -> Value:
    value = e.load(e.offset(base, index, F32), vector(F32), mask)
    return value if mask is None else e.select(mask, value, fill)


def sample_token(module: ir.Module, features: frozenset[str], count: int) -> ir.Function:
    """The function `(sequence record, position, logits, weights) -> i64`.

    position: of the token before. weights: scratch, f32 `[count]`.
    """
    name = f"sample_{count}"
    found = module.globals.get(name)
    if found is not None:
        return found
    greedy = largest_index(module, features, count)
    arguments = [PTR, I64, PTR, PTR]
    e, args = function(module, name, arguments, features, result=I64)
    base, position, logits, weights = args
    record = SequenceRecord(e, base)
    token = e.variable(e.call(greedy, logits))
    temperature = record.real("temperature")
    with e.when(temperature > 0.0):
        largest = e.load(e.offset(logits, token.get(), F32), F32)
        _weigh(e, logits, weights, largest, 1.0 / temperature, count)
        threshold = _threshold(e, record, weights, count)
        share = _uniform(e, record, position)
        token.set(_draw(e, share, weights, threshold, count))
    e.give(token.get())
    return e.function


def _weigh(
    e: Emitter, logits: Value, weights: Value, largest: Value, factor: Value, count: int
) -> None:
    for index, mask in e.lanes(count):
        own = e.load(e.offset(logits, index, F32), vector(F32), mask)
        e.store(exp(e, (own - largest) * factor), e.offset(weights, index, F32), mask)


def _threshold(e: Emitter, record: SequenceRecord, weights: Value, count: int) -> Value:
    """The least weight that is kept."""
    threshold = e.variable(e.f32(0.0))
    top_k = record.word("top_k")
    with e.when(e.both(top_k > 0, top_k < count)):
        wanted = e.to_float(top_k)
        threshold.set(_bisect(e, weights, count, wanted, _counts))
    top_p = record.real("top_p")
    with e.when(top_p < 1.0):
        wanted = _total(e, weights, count, threshold.get(), _masses) * top_p
        found = _bisect(e, weights, count, wanted, _masses)
        threshold.set(e.maximum(threshold.get(), found))
    return e.maximum(threshold.get(), record.real("min_p"))


Measure = Callable[[Emitter, Value], Value]


def _counts(e: Emitter, weights: Value) -> Value:
    return e.const(1.0, vector(F32))


def _masses(e: Emitter, weights: Value) -> Value:
    return weights


def _bisect(e: Emitter, weights: Value, count: int, wanted: Value, measure: Measure) -> Value:
    """The largest threshold at which the kept weights measure at least `wanted`."""
    low, high = e.variable(e.i32(0)), e.variable(e.i32(_BITS_OF_ONE + 1))
    with e.range(0, _BISECTIONS):
        middle = low.get() + ((high.get() - low.get()) >> 1)
        total = _total(e, weights, count, e.bitcast(middle, F32), measure)
        enough = total >= wanted
        low.set(e.select(enough, middle, low.get()))
        high.set(e.select(enough, high.get(), middle))
    return e.bitcast(low.get(), F32)


def _total(e: Emitter, weights: Value, count: int, threshold: Value, measure: Measure) -> Value:
    total = e.variable(e.const(0.0, vector(F32)))
    for index, mask in e.lanes(count):
        own = _floats(e, weights, index, mask, -1.0)
        total.set(total.get() + e.select(own >= threshold, measure(e, own), 0.0))
    return e.reduce_add(total.get())


def _mass(e: Emitter, weights: Value, count: int, threshold: Value) -> Value:
    """The sum of all kept weights (f64)."""
    total = e.variable(e.const(0.0, vector(F64)))
    for index, mask in e.lanes(count):
        own = _floats(e, weights, index, mask, -1.0)
        total.set(total.get() + e.to_double(e.select(own >= threshold, own, 0.0)))
    return e.reduce_add(total.get())


def _draw(e: Emitter, share: Value, weights: Value, threshold: Value, count: int) -> Value:
    """The first kept token at which the running sum passes a share of the whole.

    In float64: the running sum must reach the whole, and small weights must count beside it.
    """
    target = _mass(e, weights, count, threshold) * e.to_double(share)
    chosen = e.variable(e.i64(-1))
    passed = e.variable(e.const(0.0, F64))
    found = e.variable(Value(e, ir.Constant(I1, 0)))
    index = e.variable(e.i64(0))
    with e.loop_while(lambda: e.both(index.get() < count, found.get().equals(0))):
        weight = e.load(e.offset(weights, index.get(), F32), F32)
        with e.when(weight >= threshold):
            chosen.set(index.get())
            passed.set(passed.get() + e.to_double(weight))
            found.set(passed.get() > target)
        index.set(index.get() + 1)
    return chosen.get()


def _uniform(e: Emitter, record: SequenceRecord, position: Value) -> Value:
    """A number in [0, 1) from the seed and the position (splitmix64, Steele et al. 2014)."""
    state = record.word("seed") + (position + 1) * _GOLDEN
    for shift, factor in zip((30, 27), _MIX, strict=True):
        state = (state ^ (state >> shift)) * factor
    state = state ^ (state >> 31)
    return e.to_float(state >> 40) * 2.0**-24
