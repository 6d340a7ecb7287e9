"""The suite's table: shapes that people run, and what headrace must reach at each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace.bench.peers.engines import ENGINES
from headrace.bench.suite.workload import (
    BEST_PEER,
    FIRST_TOKEN,
    GAP_RATIO,
    LONGEST_WAIT,
    MULTIPLIERS,
    ROOFLINE,
    SERVED_SHARE,
    SPEED_KEPT,
    STEP_RATIO,
    Bar,
    Workload,
)
from headrace.errors import RequestError

EVERY = tuple(ENGINES)
NOT_COMPILED = tuple(key for key in ENGINES if key != "transformers-compiled")
COMPILING = "compiling it anew takes minutes"
READERS = ("llama.cpp", "openvino")
SERVERS = "of other servers only the one that reads the same file is asked"
NO_BF16 = "it would compute with a dequantised copy, several times as large"
ONE_B, QWEN, EIGHT_B = "random:llama-3.2-1b", "random:qwen3-0.6b", "random:llama-3.1-8b"

_TABLE = (
    Workload(
        name="decode-1b-q4",
        title="decode, Llama-3.2-1B shape, 4-bit",
        model=f"{ONE_B}@q4_0",
        kind="decode",
        bars=(Bar(ROOFLINE, 0.90), Bar("llama.cpp", 1.7)),
        peers=READERS,
        alone=NO_BF16,
    ),
    Workload(
        name="decode-1b-q8",
        title="decode, Llama-3.2-1B shape, 8-bit",
        model=f"{ONE_B}@q8_0",
        kind="decode",
        bars=(Bar(ROOFLINE, 0.92),),
        steps=48,
        peers=READERS,
        alone=NO_BF16,
    ),
    Workload(
        name="decode-1b-bf16",
        title="decode, Llama-3.2-1B shape, bfloat16",
        model=f"{ONE_B}@bf16",
        kind="decode",
        bars=(Bar(ROOFLINE, 0.92),),
        steps=32,
        peers=NOT_COMPILED,
        alone=COMPILING,
    ),
    Workload(
        name="decode-qwen3-q4",
        title="decode, Qwen3-0.6B shape, 4-bit",
        model=f"{QWEN}@q4_0",
        kind="decode",
        bars=(Bar(ROOFLINE, 0.85), Bar("llama.cpp", 2.0)),
        peers=READERS,
        alone=NO_BF16,
    ),
    Workload(
        name="decode-smollm2",
        title="decode, smollm2 (135 M, Q4_1)",
        model="smollm2",
        kind="decode",
        bars=(Bar(BEST_PEER, 3.0),),
        steps=128,
        peers=EVERY,
    ),
    Workload(
        name="decode-gemma3",
        title="decode, gemma3-270m (Q4_K_M)",
        model="gemma3-270m",
        kind="decode",
        bars=(Bar(BEST_PEER, 3.0),),
        steps=128,
        peers=NOT_COMPILED,
        alone=COMPILING,
    ),
    Workload(
        name="decode-8b-q4",
        title="decode, Llama-3.1-8B shape, 4-bit",
        model=f"{EIGHT_B}@q4_0",
        kind="decode",
        bars=(Bar(ROOFLINE, 0.92),),
        steps=12,
        peers=("llama.cpp",),
        alone="a second copy of 5 GB and more beside ours needs much memory",
    ),
    Workload(
        name="decode-1b-8k",
        title="decode at 8 K context, Llama-3.2-1B shape, 4-bit",
        model=f"{ONE_B}@q4_0",
        kind="decode",
        bars=(Bar(ROOFLINE, 0.85),),
        context=8192 - 32,
        steps=32,
        peers=("llama.cpp", "openvino"),
        alone="reading the prompt alone would take minutes",
    ),
    Workload(
        name="prefill-smollm2",
        title="prefill 512, smollm2",
        model="smollm2",
        kind="prefill",
        bars=(Bar(BEST_PEER, 1.5),),
        context=512,
        peers=EVERY,
    ),
    Workload(
        name="prefill-1b-q4",
        title="prefill 512, Llama-3.2-1B shape, 4-bit",
        model=f"{ONE_B}@q4_0",
        kind="prefill",
        bars=(Bar("llama.cpp", 2.0), Bar(MULTIPLIERS, 0.60)),
        context=512,
        peers=READERS,
        alone=NO_BF16,
    ),
    Workload(
        name="batch-8",
        title="8 sequences decoding, smollm2",
        model="smollm2",
        kind="batch",
        bars=(Bar(STEP_RATIO, 1.6, at_most=True), Bar(BEST_PEER, 3.0)),
        sequences=8,
        peers=EVERY,
    ),
    Workload(
        name="batch-32",
        title="32 sequences decoding, smollm2",
        model="smollm2",
        kind="batch",
        bars=(Bar(BEST_PEER, 3.0),),
        steps=32,
        sequences=32,
        peers=NOT_COMPILED,
        alone=COMPILING,
    ),
    Workload(
        name="mixed-16",
        title="16 sequences decoding while 512-token prompts arrive, smollm2",
        model="smollm2",
        kind="mixed",
        bars=(Bar(LONGEST_WAIT, 2.0, at_most=True),),
        steps=128,
        sequences=16,
        alone="the bar is about waits of our own sequences",
    ),
    Workload(
        name="threads-4",
        title="twice as many threads as cores, smollm2",
        model="smollm2",
        kind="threads",
        bars=(Bar(SPEED_KEPT, 0.7),),
        steps=128,
        alone="the bar is about our own speed with a thread a core",
    ),
    Workload(
        name="serve-32",
        title="32 streams over HTTP, smollm2",
        model="smollm2",
        kind="serve",
        bars=(Bar(SERVED_SHARE, 0.85),),
        context=32,
        steps=128,
        sequences=32,
        peers=("llama.cpp",),
        alone=SERVERS,
    ),
    Workload(
        name="serve-ttft",
        title="one stream over HTTP, 32-token prompts, smollm2",
        model="smollm2",
        kind="serve",
        bars=(Bar(FIRST_TOKEN, 60.0, at_most=True),),
        context=32,
        steps=16,
        rounds=20,
        peers=("llama.cpp",),
        alone=SERVERS,
    ),
    Workload(
        name="serve-8",
        title="8 streams over HTTP, smollm2",
        model="smollm2",
        kind="serve",
        bars=(Bar(GAP_RATIO, 3.0, at_most=True),),
        context=32,
        steps=128,
        sequences=8,
        rounds=2,
        peers=("llama.cpp",),
        alone=SERVERS,
    ),
)
WORKLOADS: Mapping[str, Workload] = {each.name: each for each in _TABLE}


def chosen_workloads(names: Sequence[str] | None) -> tuple[Workload, ...]:
    """The workloads of those names (commas divide too), in the table's order; all if not given.

    Raises:
        RequestError: there is no such workload.
    """
    if not names:
        return tuple(WORKLOADS.values())
    wanted = {name for each in names for name in each.split(",")}
    for name in sorted(wanted - set(WORKLOADS)):
        raise RequestError(
            f"there is no workload '{name}'",
            where="--only",
            hint=f"the workloads are {', '.join(WORKLOADS)}",
        )
    return tuple(each for each in WORKLOADS.values() if each.name in wanted)
