"""The probe, on described trees and on this very machine."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from headrace.machine import Host, probe_host
from headrace.machine.sysfs import parse_cpu_list, parse_size


def lay_out(root: Path, siblings: dict[int, str], l3_sharers: dict[int, str]) -> Path:
    """Write a tree of processors with caches, as the kernel shows them."""
    files = {
        "proc/cpuinfo": "processor\t: 0\nmodel name\t: Test CPU 9000\n",
        "proc/meminfo": "MemTotal:       16384 kB\nMemFree:  1 kB\n",
        "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
        "sys/devices/system/node/node0/cpulist": "0-1\n",
        "sys/devices/system/node/node1/cpulist": "2-3\n",
    }
    for cpu, threads in siblings.items():
        base = f"sys/devices/system/cpu/cpu{cpu}"
        files[f"{base}/topology/thread_siblings_list"] = threads
        caches = [
            ("1", "Instruction", "64K", threads),
            ("1", "Data", "48K", threads),
            ("2", "Unified", "1024K", threads),
            ("3", "Unified", "32M", l3_sharers[cpu]),
        ]
        for index, (level, kind, size, sharers) in enumerate(caches):
            at = f"{base}/cache/index{index}"
            files |= {f"{at}/level": level, f"{at}/type": kind}
            files |= {f"{at}/size": size, f"{at}/shared_cpu_list": sharers}
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def four_cpus(root: Path) -> Path:
    return lay_out(
        root,
        siblings={0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"},
        l3_sharers={0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"},
    )


def test_the_probe_reads_what_the_kernel_tells(tmp_path: Path) -> None:
    host = probe_host(four_cpus(tmp_path), affinity=range(4))
    assert host.model == "Test CPU 9000"
    assert (host.l1d_bytes, host.l2_bytes, host.l3_bytes) == (48 << 10, 1 << 20, 64 << 20)
    assert host.memory_bytes == 16 << 20
    assert host.huge_pages == "madvise"
    assert host.numa_nodes == ((0, 1), (2, 3))


def test_workers_are_one_per_physical_core(tmp_path: Path) -> None:
    host = probe_host(four_cpus(tmp_path), affinity=range(4))
    assert host.cpus == (0, 1, 2, 3)
    assert host.core_cpus == (0, 1)
    assert host.cores == 2
    assert host.worker_cpus(2) == (0, 1)
    assert host.worker_cpus(3) == host.cpus


def test_affinity_narrows_cores_and_caches(tmp_path: Path) -> None:
    host = probe_host(four_cpus(tmp_path), affinity=[2])
    assert host.core_cpus == (2,)
    assert host.l3_bytes == 32 << 20


def test_a_quota_below_the_cores_bounds_the_workers(tmp_path: Path) -> None:
    root = four_cpus(tmp_path)
    (root / "proc/self").mkdir()
    (root / "proc/self/cgroup").write_text("0::/\n")
    (root / "sys/fs/cgroup").mkdir(parents=True)
    (root / "sys/fs/cgroup/cpu.max").write_text("50000 100000\n")
    assert probe_host(root, affinity=range(4)).cores == 1


def test_an_empty_tree_still_gives_a_machine(tmp_path: Path) -> None:
    host = probe_host(tmp_path, affinity=[3, 5])
    assert host.core_cpus == (3, 5)
    assert (host.l1d_bytes, host.memory_bytes, host.huge_pages) == (None, None, None)
    machine = host.machine()
    assert machine.cores == 2
    assert machine.l2_bytes > 0


def test_this_host() -> None:
    host: Host = probe_host()
    assert set(host.cpus) == os.sched_getaffinity(0)
    assert 1 <= host.cores <= len(host.cpus)
    assert host.machine().read_bandwidth > 0


def test_a_host_nobody_described_gets_the_generic_figures(tmp_path: Path) -> None:
    machine = probe_host(tmp_path, affinity=[0]).machine()
    assert machine.isa in {"x86_64", "aarch64"}
    assert machine.core_int8_macs_per_s > 0


@given(st.sets(st.integers(0, 4000), max_size=30))
def test_cpu_lists_round_trip(cpus: set[int]) -> None:
    assert parse_cpu_list(",".join(map(str, sorted(cpus)))) == tuple(sorted(cpus))


@given(st.text(max_size=40))
def test_no_text_breaks_the_parsers(text: str) -> None:
    parse_cpu_list(text)
    parse_size(text)
