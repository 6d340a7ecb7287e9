"""Samples as the figures that a benchmark reports, by dotted name."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.bench.interleave import Samples
from headrace.bench.plan import Plan
from headrace.codegen.manifest import Manifest

PEER = "peers.llama_cpp"


def figures_of(
    samples: Samples, plan: Plan, manifest: Manifest, kv_bytes: int, warm: Sequence[float]
) -> dict[str, Sequence[float]]:
    """The values of each figure, one a repetition; what is counted has one.

    Args:
        kv_bytes: bytes of keys and values that a step reads, in the middle of decoding.
        warm: seconds from a second start to the first text.
    """
    size = manifest.weight_bytes_per_token + kv_bytes
    found: dict[str, Sequence[float]] = {
        "decode.tokens": [plan.decode],
        "decode.tokens_per_second": _rates(plan.decode, samples.decode),
        "decode.bytes_per_token": [size],
        "decode.roofline_fraction": pair_ratios(samples.read, samples.decode),
        "decode.roofline_tokens_per_second": _rates(plan.decode, samples.read),
        "decode.read_bytes_per_second": _rates(plan.decode * size, samples.read),
        "decode.host_calls_per_token": [calls / plan.decode for calls in samples.host_calls],
        "decode.token_edges_per_step": [manifest.token_edges_per_step],
        "prefill.tokens": [plan.prompt],
        "prefill.tokens_per_second": _rates(plan.prompt, samples.prefill),
        "startup.warm_s": warm,
    }
    if samples.peer_decode:
        found |= {
            f"{PEER}.decode_ratio": pair_ratios(samples.peer_decode, samples.decode),
            f"{PEER}.prefill_ratio": pair_ratios(samples.peer_prefill, samples.prefill),
            f"{PEER}.decode_tokens_per_second": _rates(plan.decode, samples.peer_decode),
            f"{PEER}.prefill_tokens_per_second": _rates(plan.prompt, samples.peer_prefill),
        }
    return found


def _rates(count: int, seconds: Sequence[float]) -> list[float]:
    return [count / each for each in seconds]


def pair_ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Pair by pair, so that both of a pair met the machine in the same mood."""
    return [a / b for a, b in zip(over, under, strict=True)]
