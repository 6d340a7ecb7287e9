"""The probe of this host: what headrace may use of the machine it runs on."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from headrace.machine import cgroup, sysfs
from headrace.machine.description import Machine, described_machines, load_machine

ISA_NAMES = {"AMD64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True, slots=True)
class Host:
    """What this process may use; None where the system does not tell.

    Attributes:
        model: the processor's own name. cpu, isa, features: LLVM's names.
        cpus: processors that the affinity mask allows.
        core_cpus: of these, one for each physical core, where workers are pinned.
        cpu_quota: CPU seconds a second that the control group grants.
        l1d_bytes, l2_bytes: of one core. l3_bytes: of all distinct caches reached.
        memory_bytes: the lower of installed memory and the control group's limit.
        huge_pages: "always", "madvise" or "never".
        numa_nodes: the processors of each memory node.
    """

    model: str
    cpu: str
    isa: str
    features: frozenset[str]
    cpus: tuple[int, ...]
    core_cpus: tuple[int, ...]
    cpu_quota: float | None
    l1d_bytes: int | None
    l2_bytes: int | None
    l3_bytes: int | None
    memory_bytes: int | None
    huge_pages: str | None
    numa_nodes: tuple[tuple[int, ...], ...]

    @property
    def cores(self) -> int:
        """Workers that run at full speed: one per physical core, no more than the quota feeds."""
        quota = len(self.core_cpus) if self.cpu_quota is None else int(self.cpu_quota)
        return max(1, min(len(self.core_cpus), quota))

    def worker_cpus(self, workers: int) -> tuple[int, ...]:
        """Where workers run: on distinct physical cores, if there are enough, else anywhere."""
        return self.core_cpus if workers <= len(self.core_cpus) else self.cpus

    def machine(self) -> Machine:
        """This host as a machine: the nearest description, with the host's own cores and caches."""
        described = nearest_description(self.cpu, self.isa)
        return replace(
            described.with_cores(self.cores),
            name=self.model,
            cpu=self.cpu,
            isa=self.isa,
            features=self.features,
            l1d_bytes=self.l1d_bytes or described.l1d_bytes,
            l2_bytes=self.l2_bytes or described.l2_bytes,
            l3_bytes=self.l3_bytes or described.l3_bytes,
        )


def probe_host(root: Path = Path("/"), affinity: Iterable[int] | None = None) -> Host:
    """Look at this host.

    Args:
        root: where /proc and /sys stand.
        affinity: the allowed processors; None asks the system.
    """
    cpus = tuple(sorted(_affinity() if affinity is None else affinity))
    cpu, features = _llvm_host()
    caches = {level: sysfs.cache_bytes(root, cpus, level) for level in (1, 2, 3)}
    memory = [sysfs.installed_memory(root), cgroup.memory_limit(root)]
    return Host(
        model=sysfs.cpu_model(root) or cpu,
        cpu=cpu,
        isa=ISA_NAMES.get(platform.machine(), platform.machine()),
        features=features,
        cpus=cpus,
        core_cpus=sysfs.one_cpu_per_core(root, cpus),
        cpu_quota=cgroup.cpu_quota(root),
        l1d_bytes=min(caches[1], default=None),
        l2_bytes=min(caches[2], default=None),
        l3_bytes=sum(caches[3]) or None,
        memory_bytes=min((size for size in memory if size is not None), default=None),
        huge_pages=sysfs.huge_page_mode(root),
        numa_nodes=sysfs.numa_nodes(root),
    )


def _affinity() -> Iterable[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return range(os.cpu_count() or 1)


def _llvm_host() -> tuple[str, frozenset[str]]:
    from llvmlite import binding  # loads LLVM: only a probe pays for it

    try:
        features = cast("dict[str, bool]", binding.get_host_cpu_features())
    except RuntimeError:  # LLVM cannot ask this kind of processor: its baseline is what is known
        return binding.get_host_cpu_name(), frozenset()
    return binding.get_host_cpu_name(), frozenset(name for name, has in features.items() if has)


def nearest_description(cpu: str, isa: str) -> Machine:
    """What is known of machines with a processor, by LLVM's names of it and its architecture."""
    machines = [load_machine(name) for name in described_machines()]
    exact = [machine for machine in machines if machine.cpu == cpu and machine.isa == isa]
    return exact[0] if exact else load_machine(f"generic-{isa}")
