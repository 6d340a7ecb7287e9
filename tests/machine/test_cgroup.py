"""Quotas and limits read from trees laid out as kernels lay them out."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.machine.cgroup import cpu_quota, memory_limit


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_nothing_to_read_means_no_limit(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None
    assert memory_limit(tmp_path) is None


def test_version_2_takes_the_tightest_of_the_group_and_those_above(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/outer/inner\n",
            "sys/fs/cgroup/outer/inner/cpu.max": "max 100000\n",
            "sys/fs/cgroup/outer/cpu.max": "250000 100000\n",
            "sys/fs/cgroup/cpu.max": "800000 100000\n",
            "sys/fs/cgroup/outer/inner/memory.max": "max\n",
            "sys/fs/cgroup/outer/memory.max": "1073741824\n",
        },
    )
    assert cpu_quota(root) == 2.5
    assert memory_limit(root) == 1 << 30


def test_version_1_reads_each_controller(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/job\n3:cpu,cpuacct:/job\n1:name=systemd:/\n",
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "150000\n",
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "4096000\n",
        },
    )
    assert cpu_quota(root) == 1.5
    assert memory_limit(root) == 4096000


def test_version_1_writes_no_limit_as_minus_one_and_a_huge_number(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/\n3:cpu:/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    assert cpu_quota(root) is None
    assert memory_limit(root) is None


def test_a_container_that_sees_the_hosts_path_finds_its_own_limit(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/system.slice/docker-0123.scope\n",
            "sys/fs/cgroup/cpu.max": "100000 100000\n",
        },
    )
    assert cpu_quota(root) == 1.0


@pytest.mark.parametrize("text", ["", "max", "a b", "1 0", "-5 100", "1 2 3", "\x00"])
def test_a_malformed_quota_is_no_quota(tmp_path: Path, text: str) -> None:
    root = write(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": text})
    assert cpu_quota(root) is None


def test_a_path_cannot_leave_the_tree(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/../../../outside\n", "outside/cpu.max": "1 100000"}
    assert cpu_quota(write(tmp_path, files)) is None
