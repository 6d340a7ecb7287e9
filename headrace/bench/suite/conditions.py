"""Under which conditions the suite runs."""

from __future__ import annotations

import platform
from importlib.metadata import version

from headrace.bench.bandwidth import probe_bytes, read_bandwidth
from headrace.build import Options
from headrace.codegen.target import Target
from headrace.machine import probe_host
from headrace.report.units import bandwidth_text, bytes_text


def conditions_of(options: Options, *, quick: bool) -> dict[str, str]:
    """The machine, what is used of it, and the read rate of its memory right now, by name."""
    host = probe_host()
    cpus = host.worker_cpus(options.workers)[: options.workers]
    rate = read_bandwidth(cpus, probe_bytes(host))[len(cpus)]
    low, high = bandwidth_text(rate.min), bandwidth_text(rate.max)
    memory = "unknown" if host.memory_bytes is None else bytes_text(host.memory_bytes)
    found = {
        "processor": f"{host.model} ({host.cpu})",
        "instruction_sets": ", ".join(sorted(Target.host().special)) or "none beside the base",
        "cores": str(len(host.core_cpus)),
        "memory": memory,
        "threads": str(options.workers),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "headrace": version("headrace"),
        "read_rate": f"{bandwidth_text(rate.median)} ({low} to {high})",
    }
    return {**found, "quick": "a quick look, no result"} if quick else found
