"""Operators one by one against PyTorch's formulas, in programs of a few lines.

Tolerances are those of sums of some dozen float32 products in another order.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import layer_norm, rms_norm

from headrace.errors import ContextLengthError, RequestError
from headrace.ir.dialect import parse_program
from headrace.ir.interpreter import Interpreter

IDS = "tensor<?xi32>"
TOKENS = 6


def rows(*features: int) -> str:
    return f"tensor<?x{'x'.join(map(str, features))}xf32>"


def weight(*dims: int) -> str:
    return f'!step.weight<[{", ".join(map(str, dims))}], "f32">'


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def run(
    body: str,
    features: int,
    arrays: Mapping[str, np.ndarray],
    *,
    before: str = "",
    result: int | None = None,
    context: int | None = None,
) -> np.ndarray:
    """The value %y of a program that has the table's rows as %x, one row a token."""
    result = features if result is None else result
    text = f"""
    {before}
    step.program @main context <64> {{
    ^bb0(%tokens: {IDS}, %positions: {IDS}, %sequences: {IDS}, %outputs: {IDS}):
      %table = step.weight "table" : {weight(TOKENS, features)}
      %x = step.embedding %tokens, %table : {IDS}, {weight(TOKENS, features)} -> {rows(features)}
      {body}
      %next = step.sample %y : {rows(result)} -> {IDS}
      step.return %y, %next : {rows(result)}, {IDS}
    }}
    """
    interpreter = Interpreter(parse_program(text), arrays.__getitem__, context=context)
    order = range(TOKENS)
    return interpreter.step(order, order, [0] * TOKENS, order)[0]


def norm_text(kind: str, size: int, *, has_weight: bool, has_bias: bool) -> str:
    vectors = f'%w = step.weight "w" : {weight(size)}\n%b = step.weight "b" : {weight(size)}\n'
    given_weight = ", %w" if has_weight else ""
    bias = f" bias %b : {weight(size)}" if has_bias else ""
    kinds = ' kind "layer"' if kind == "layer" else ""
    return f"{vectors}%N = step.norm %I{given_weight}{bias}{kinds} epsilon <1.0e-03> offset <0.5>"


@pytest.mark.parametrize("kind", ["rms", "layer"])
@pytest.mark.parametrize("has_weight", [True, False])
@pytest.mark.parametrize("has_bias", [True, False])
@settings(deadline=None, max_examples=10)
@given(size=st.integers(1, 40), seed=st.integers(0, 100))
def test_norms(kind: str, has_weight: bool, has_bias: bool, size: int, seed: int) -> None:
    has_bias = has_bias and kind == "layer"
    x, w, b = drawn(seed, TOKENS, size), drawn(seed + 1, size), drawn(seed + 2, size)
    text = norm_text(kind, size, has_weight=has_weight, has_bias=has_bias)
    types = f" : {rows(size)}" + (f", {weight(size)}" if has_weight else "")
    body = text.replace("%N", "%y").replace("%I", "%x") + f"{types} -> {rows(size)}"
    got = run(body, size, {"table": x, "w": w, "b": b})
    factor = torch.from_numpy(w) + 0.5 if has_weight else None
    if kind == "rms":
        want = rms_norm(torch.from_numpy(x), [size], factor, 1e-3)
    else:
        bias = torch.from_numpy(b) if has_bias else None
        want = layer_norm(torch.from_numpy(x), [size], factor, bias, 1e-3)
    np.testing.assert_allclose(got, want.numpy(), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("size", [8, 24])
def test_a_norm_of_heads_has_a_weight_a_head_or_one_a_feature(size: int) -> None:
    x, w, b = drawn(0, TOKENS, 24), drawn(1, size), drawn(2, size)
    text = norm_text("layer", size, has_weight=True, has_bias=True)
    body = f"""
    %h = step.reshape %x : {rows(24)} -> {rows(3, 8)}
    {text.replace("%N", "%n").replace("%I", "%h")} : {rows(3, 8)}, {weight(size)} -> {rows(3, 8)}
    %y = step.reshape %n : {rows(3, 8)} -> {rows(24)}
    """
    got = run(body, 24, {"table": x, "w": w, "b": b})
    heads = layer_norm(torch.from_numpy(x.reshape(TOKENS, 3, 8)), [8], eps=1e-3).numpy()
    tiled, shifts = (np.tile(v, 24 // size) for v in (w, b))
    want = heads.reshape(TOKENS, 24) * (tiled + np.float32(0.5)) + shifts
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def rotated(x: np.ndarray, frequencies: np.ndarray, scale: float, style: str) -> np.ndarray:
    """Heads [T, heads, head] turned as complex numbers."""
    count = len(frequencies)
    angles = np.arange(len(x))[:, None, None] * frequencies.astype(np.float64)
    turns = np.exp(1j * angles) * scale
    result = x.astype(np.float64)
    low, high = (
        (slice(0, 2 * count, 2), slice(1, 2 * count, 2))
        if style == "pairs"
        else (slice(0, count), slice(count, 2 * count))
    )
    turned = (x[..., low] + 1j * x[..., high]) * turns
    result[..., low], result[..., high] = turned.real, turned.imag
    return result


def rope_text(heads: int, head: int, style: str) -> str:
    flat, wide = rows(heads * head), rows(heads, head)
    styled = f' style "{style}"' if style == "pairs" else ""
    return f"""
    %h = step.reshape %x : {flat} -> {wide}
    %r = step.rope %h, %positions tables [@r]{styled} : {wide}, {IDS} -> {wide}
    %y = step.reshape %r : {wide} -> {flat}
    """


@pytest.mark.parametrize("style", ["halves", "pairs"])
@settings(deadline=None, max_examples=15)
@given(heads=st.integers(1, 3), count=st.integers(1, 6), rest=st.integers(0, 5))
def test_rotation_of_the_first_features(style: str, heads: int, count: int, rest: int) -> None:
    head = 2 * count + rest
    x, frequencies = drawn(3, TOKENS, heads * head), np.abs(drawn(4, count))
    numbers = ", ".join(repr(float(f)) for f in frequencies)
    table = f"step.frequencies @r <{numbers}> scale <1.25>"
    got = run(rope_text(heads, head, style), heads * head, {"table": x}, before=table)
    want = rotated(x.reshape(TOKENS, heads, head), frequencies, 1.25, style)
    np.testing.assert_allclose(got.reshape(want.shape), want, atol=1e-5)


@pytest.mark.parametrize(
    ("context", "frequency", "scale"), [(8, 0.5, 1.0), (9, 0.125, 1.5), (None, 0.125, 1.5)]
)
def test_long_frequencies_hold_beyond_their_context(
    context: int | None, frequency: float, scale: float
) -> None:
    x = drawn(5, TOKENS, 4)
    table = "step.frequencies @r <0.5> scale <1.0> beyond <8> values <0.125> scale <1.5>"
    got = run(rope_text(2, 2, "halves"), 4, {"table": x}, before=table, context=context)
    want = rotated(x.reshape(TOKENS, 2, 2), np.array([frequency]), scale, "halves")
    np.testing.assert_allclose(got.reshape(want.shape), want, atol=1e-6)


def test_a_position_must_fit_into_the_loaded_context() -> None:
    with pytest.raises(ContextLengthError, match="loaded for 4 positions"):
        run(
            f"%y = step.norm %x epsilon <1.0> offset <0.0> : {rows(4)} -> {rows(4)}",
            4,
            {"table": drawn(0, TOKENS, 4)},
            context=4,
        )


HEADS, KV_HEADS, HEAD = 4, 2, 6


def attention_text(attributes: str) -> str:
    query, kv = rows(HEADS, HEAD), rows(KV_HEADS, HEAD)
    flat = rows(HEADS * HEAD)
    weights = [
        f'%{name} = step.weight "{name}" : {weight(count * HEAD, 16)}\n'
        f"%{name}_flat = step.linear %x, %{name} : {rows(16)}, {weight(count * HEAD, 16)}"
        f" -> {rows(count * HEAD)}\n"
        f"%{name}_heads = step.reshape %{name}_flat : {rows(count * HEAD)} -> {rows(count, HEAD)}"
        for name, count in (("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS))
    ]
    return (
        "\n".join(weights)
        + f"""
    %sinks = step.weight "sinks" : {weight(HEADS)}
    %c = step.append %k_heads, %v_heads, %positions, %sequences layers <0>
      : {kv}, {kv}, {IDS}, {IDS} -> !step.cache
    %a = step.attention %q_heads, %c, %positions, %sequences scale <0.5> {attributes}
      : {query}, !step.cache, {IDS}, {IDS} -> {query}
    %y = step.reshape %a : {query} -> {flat}
    """
    )


def attended(
    w: Mapping[str, np.ndarray], window: int, softcap: float, slopes: list[float], sinks: bool
) -> np.ndarray:
    """The whole attention as matrices, with a sink as one more column."""
    x = torch.from_numpy(w["table"])
    group = HEADS // KV_HEADS
    q = (x @ torch.from_numpy(w["q"]).T).view(TOKENS, HEADS, HEAD)
    k, v = (
        (x @ torch.from_numpy(w[name]).T).view(TOKENS, KV_HEADS, HEAD).repeat_interleave(group, 1)
        for name in "kv"
    )
    scores = torch.einsum("thd,uhd->htu", q, k) * 0.5
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    place = torch.arange(TOKENS)
    distance = place[None, :] - place[:, None]
    scores = scores + torch.tensor(slopes)[:, None, None] * distance
    hidden = (distance > 0) | ((distance <= -window) if window else torch.tensor(False))
    scores = scores.masked_fill(hidden, -torch.inf)
    if sinks:
        column = torch.from_numpy(w["sinks"])[:, None, None].expand(HEADS, TOKENS, 1)
        scores = torch.cat([scores, column], -1)
    weights = torch.softmax(scores, -1)[..., :TOKENS]
    return torch.einsum("htu,uhd->thd", weights, v).reshape(TOKENS, -1).numpy()


@pytest.mark.parametrize("window", [0, 3])
@pytest.mark.parametrize("softcap", [0.0, 1.5])
@pytest.mark.parametrize("slopes", [[], [1.0, 0.5, 0.25, 0.125]])
@pytest.mark.parametrize("sinks", [False, True])
def test_attention(window: int, softcap: float, slopes: list[float], sinks: bool) -> None:
    arrays = {
        "table": drawn(6, TOKENS, 16),
        "q": drawn(7, HEADS * HEAD, 16),
        "k": drawn(8, KV_HEADS * HEAD, 16),
        "v": drawn(9, KV_HEADS * HEAD, 16),
        "sinks": drawn(10, HEADS),
    }
    attributes = f"windows <{window}>"
    attributes += f" softcap <{softcap}>" if softcap else ""
    attributes += f" slopes <{', '.join(map(str, slopes))}>" if slopes else ""
    attributes += f" sinks %sinks : {weight(HEADS)}" if sinks else ""
    got = run(attention_text(attributes), 16, arrays, result=HEADS * HEAD)
    want = attended(arrays, window, softcap, slopes or [0.0] * HEADS, sinks)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def learned(entries: int) -> str:
    return f"""
    %learned = step.weight "learned" : {weight(entries, 4)}
    %p = step.embedding %positions, %learned : {IDS}, {weight(entries, 4)} -> {rows(4)}
    %y = step.map %x, %p : {rows(4)}, {rows(4)} -> {rows(4)} {{
    ^bb1(%a: f32, %b: f32):
      %s = arith.addf %a, %b : f32
      step.yield %s : f32
    }}
    """


def test_positions_have_a_table() -> None:
    arrays = {"table": drawn(11, TOKENS, 4), "learned": drawn(12, 64, 4)}
    got = run(learned(64), 4, arrays)
    np.testing.assert_array_equal(got, arrays["table"] + arrays["learned"][:TOKENS])


def test_a_position_behind_its_table_is_an_error() -> None:
    arrays = {"table": drawn(11, TOKENS, 4), "learned": drawn(12, 3, 4)}
    with pytest.raises(RequestError, match="the table has 3 entries, from 0"):
        run(learned(3), 4, arrays)
