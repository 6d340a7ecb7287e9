"""One run: prefill, decode and pure reads by turns, and another engine between."""

from __future__ import annotations

from dataclasses import dataclass, field

from headrace.bench.peers.peer import Peer
from headrace.bench.plan import Plan
from headrace.bench.runner import Runner, prompt_tokens


@dataclass(slots=True)
class Samples:
    """Seconds of each repetition. `read` is of `decode` pure reads; peers' lists may be empty."""

    prefill: list[float] = field(default_factory=list[float])
    decode: list[float] = field(default_factory=list[float])
    read: list[float] = field(default_factory=list[float])
    peer_prefill: list[float] = field(default_factory=list[float])
    peer_decode: list[float] = field(default_factory=list[float])
    host_calls: list[int] = field(default_factory=list[int])


def interleave(runner: Runner, plan: Plan, read_tokens: int, peer: Peer | None) -> Samples:
    """Run the plan.

    The machine's speed drifts, so each decode stands between two halves of its pure reads, and
    the peer's turn follows ours in each repetition. One repetition before warms both up.

    Args:
        read_tokens: KV entries that the pure read takes beside the weights.
    """
    runner.require(plan.tokens)
    _repeat(runner, plan, read_tokens, peer, Samples())
    samples = Samples()
    for _ in range(plan.repetitions):
        _repeat(runner, plan, read_tokens, peer, samples)
    return samples


def _repeat(
    runner: Runner, plan: Plan, read_tokens: int, peer: Peer | None, samples: Samples
) -> None:
    samples.prefill.append(runner.prefill(plan.prompt))
    half = (plan.decode + 1) // 2
    before = runner.sweep(half, read_tokens)
    calls = runner.program.host_calls
    samples.decode.append(runner.decode(plan.prompt, plan.decode))
    samples.host_calls.append(runner.program.host_calls - calls)
    after = runner.sweep(half, read_tokens)
    samples.read.append((before + after) * plan.decode / (2 * half))
    if peer is not None:
        tokens = prompt_tokens(plan.prompt, runner.vocabulary).tolist()
        samples.peer_prefill.append(peer.prefill(tokens))
        samples.peer_decode.append(peer.decode([tokens], plan.decode))
