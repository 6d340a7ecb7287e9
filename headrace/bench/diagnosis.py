"""What headrace finds on this machine, as lines of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from headrace.bench.spread import Spread
from headrace.codegen.primitives import HALVES, dot_feature
from headrace.machine import Host
from headrace.report.text import workers_text
from headrace.report.units import bandwidth_text, bytes_text

_UNKNOWN = "the system does not tell"


def findings(host: Host, special: frozenset[str], workers: int) -> Iterator[tuple[str, str]]:
    """Names and values of what was found; `special` as in `advice`; `workers`: by default."""
    yield "processor", f"{host.model} ({host.cpu}, {host.isa})"
    yield "cores", _cores(host)
    yield "workers by default", str(workers)
    yield "8-bit products", _dot(host, special)
    yield "half floats", _half(special)
    yield "caches", _caches(host)
    yield "memory", _size(host.memory_bytes)
    yield "memory nodes", str(len(host.numa_nodes)) if host.numa_nodes else _UNKNOWN
    yield "huge pages", host.huge_pages or _UNKNOWN


def bandwidth_lines(bandwidth: Mapping[int, Spread]) -> Iterator[tuple[str, str]]:
    """One line for each number of workers."""
    for workers, spread in bandwidth.items():
        name = f"read, {workers_text(workers)}"
        low, high = bandwidth_text(spread.min), bandwidth_text(spread.max)
        yield name, f"{bandwidth_text(spread.median)} ({low} to {high})"


def multiply_lines(rates: Mapping[int, Spread]) -> Iterator[tuple[str, str]]:
    """One line for each number of workers: multiply-adds of 8-bit numbers."""
    for workers, spread in rates.items():
        low, high = _rate(spread.min), _rate(spread.max)
        yield f"multiply, {workers_text(workers)}", f"{_rate(spread.median)} ({low} to {high})"


def _rate(macs: float) -> str:
    return f"{macs / 1e9:.0f} G multiply-adds/s"


def _cores(host: Host) -> str:
    text = f"{len(host.core_cpus)} physical, {len(host.cpus)} processors in the affinity mask"
    if host.cpu_quota is None:
        return f"{text}; no limit by the control group"
    return f"{text}; the control group grants {host.cpu_quota:g}"


#: By the feature that `dot_feature` names: the instructions, and multiply-adds of the last one.
_DOTS = {
    "avx512vnni": ("vpdpbusd (AVX-512 VNNI)", 64),
    "avx512bw": ("vpmaddubsw, vpmaddwd (AVX-512)", 64),
    "avxvnni": ("vpdpbusd (AVX-VNNI)", 32),
    "avx2": ("vpmaddubsw, vpmaddwd (AVX2)", 32),
    "ssse3": ("pmaddubsw, pmaddwd (SSSE3)", 16),
    "i8mm": ("usdot (i8mm)", 16),
    "dotprod": ("sdot (dotprod)", 16),
    "neon": ("smull, saddlp (NEON)", 8),
}


def _dot(host: Host, special: frozenset[str]) -> str:
    found = _DOTS.get(dot_feature(special))
    if found is None:
        return f"plain lowering, as LLVM compiles it for {host.cpu}"
    name, products = found
    return f"{name}: {products} multiply-adds an instruction"


def _half(special: frozenset[str]) -> str:
    if special & HALVES:
        return "converted by the processor"
    return "converted by integer arithmetic"


def _caches(host: Host) -> str:
    sizes = (("L1d", host.l1d_bytes), ("L2", host.l2_bytes), ("L3", host.l3_bytes))
    known = [f"{name} {_binary(size)}" for name, size in sizes if size is not None]
    return ", ".join(known) or _UNKNOWN


def _binary(size: int) -> str:
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def _size(size: int | None) -> str:
    return _UNKNOWN if size is None else bytes_text(size)
