"""What headrace finds on this machine, as lines of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from headrace.bench.spread import Spread
from headrace.machine import Host
from headrace.report.text import workers_text
from headrace.report.units import bandwidth_text, bytes_text

_UNKNOWN = "the system does not tell"


def findings(host: Host, special: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Names and values of what was found; `special` as in `advice`."""
    yield "processor", f"{host.model} ({host.cpu}, {host.isa})"
    yield "cores", _cores(host)
    yield "workers by default", str(host.cores)
    yield "8-bit products", _dot(host, special)
    yield "half floats", _half(host, special)
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


def _dot(host: Host, special: frozenset[str]) -> str:
    if "avx512vnni" in special:
        return "vpdpbusd (avx512vnni): 64 multiply-adds an instruction"
    return f"plain lowering, as LLVM compiles it for {host.cpu}"


def _half(host: Host, special: frozenset[str]) -> str:
    if special & {"f16c", "avx512f"} or host.isa == "aarch64":
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
