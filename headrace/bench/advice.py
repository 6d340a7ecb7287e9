"""What would make this machine faster for language models."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from headrace.bench.spread import Spread
from headrace.codegen.primitives import dot_feature
from headrace.machine import Host

#: More workers are worth it if they read this much faster.
_WORTH = 1.1


_SLOWER = "prompts are read more slowly; answers mostly wait for memory."

#: What a machine lacks, by the feature that `dot_feature` names.
_LACKS = {
    "": "There is no instruction for products of bytes: all is slower, prompts most of all.",
    "avx2": f"The processor has no AVX-512 VNNI or AVX-VNNI: {_SLOWER}",
    "ssse3": f"The processor has no AVX2: {_SLOWER}",
    "avx512bw": f"The processor's AVX-512 has no VNNI: {_SLOWER}",
    "neon": f"The processor has no dotprod: {_SLOWER}",
}


def advice(
    host: Host, special: frozenset[str], bandwidth: Mapping[int, Spread], load: float
) -> Iterator[str]:
    """One sentence for each thing that could be better.

    Args:
        special: the instruction sets that kernels use (`Target.special`).
        bandwidth: bytes a second by workers.
        load: processes that wanted to run lately, on average.
    """
    yield from _cores(host)
    yield from _bandwidth(bandwidth)
    if host.huge_pages == "never":
        yield (
            "Transparent huge pages are off: allow them with "
            "`echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled`."
        )
    if len(host.numa_nodes) > 1:
        yield (
            f"Memory is divided over {len(host.numa_nodes)} nodes: one node alone is often "
            "faster, `numactl --cpunodebind=0 --membind=0 headrace ...`."
        )
    if (found := dot_feature(special)) in _LACKS:
        yield _LACKS[found]
    if load > host.cores:
        yield (
            f"Other work keeps {load:.1f} processors busy: the figures above are too low, and "
            "so is the speed of any model."
        )


def _cores(host: Host) -> Iterator[str]:
    present = os.cpu_count() or len(host.cpus)
    if len(host.cpus) < present:
        yield (
            f"The affinity mask leaves {len(host.cpus)} of {present} processors: start headrace "
            "without taskset, or with more processors."
        )
    if host.cpu_quota is not None and host.cpu_quota < len(host.core_cpus):
        yield (
            f"The control group grants {host.cpu_quota:g} processors of {len(host.core_cpus)}: "
            "raise the container's CPU limit."
        )


def _bandwidth(bandwidth: Mapping[int, Spread]) -> Iterator[str]:
    most = max(bandwidth)
    best = bandwidth[most].median
    enough = next(count for count in bandwidth if bandwidth[count].median * _WORTH >= best)
    if enough < most:
        yield (
            f"{enough} of {most} workers read nearly as fast as all: `--threads {enough}` may be "
            "as fast for answers and leaves cores free; prompts still gain from all."
        )
