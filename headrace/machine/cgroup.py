"""What control groups (versions 1 and 2) let this process use."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

UNLIMITED_V1_MEMORY = 1 << 62  # version 1 writes "no limit" as the largest page-aligned integer
UNIFIED = ""  # version 2 has one hierarchy, which /proc lists without a controller's name
MOUNTS = {UNIFIED: ("", "unified"), "cpu": ("cpu", "cpu,cpuacct"), "memory": ("memory",)}


def cpu_quota(root: Path) -> float | None:
    """CPU time a second that is granted (2.0 = two cores' worth), None where nothing limits it.

    Args:
        root: where /proc and /sys stand, "/" but for tests.
    """
    quotas = [*map(_quota_v2, _groups(root, UNIFIED)), *map(_quota_v1, _groups(root, "cpu"))]
    return min((quota for quota in quotas if quota is not None), default=None)


def memory_limit(root: Path) -> int | None:
    """Bytes of memory that are granted, None where nothing limits them; `root` as in cpu_quota."""
    v2 = (_integer(group / "memory.max") for group in _groups(root, UNIFIED))
    v1 = (_integer(group / "memory.limit_in_bytes") for group in _groups(root, "memory"))
    limits = [limit for limit in [*v2, *v1] if limit is not None and limit > 0]
    limit = min(limits, default=UNLIMITED_V1_MEMORY)
    return limit if limit < UNLIMITED_V1_MEMORY else None


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Directories of the process's group and all above it.

    In a container /proc may name the group as the host sees it, which is not there to be read:
    the walk upwards then finds the container's own limit at the mount point.
    """
    path = _group_path(root, controller)
    if path is None:
        return
    mount = root / "sys/fs/cgroup"
    for base in (mount / name for name in MOUNTS[controller]):
        group = base / path.strip("/")
        yield group
        while group != base:
            group = group.parent
            yield group


def _group_path(root: Path, controller: str) -> str | None:
    for line in _text(root / "proc/self/cgroup").splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3 and controller in fields[1].split(","):
            return None if ".." in fields[2].split("/") else fields[2]
    return None


def _quota_v2(group: Path) -> float | None:
    fields = _text(group / "cpu.max").split()
    if len(fields) != 2 or fields[0] == "max":
        return None
    return _ratio(*fields)


def _quota_v1(group: Path) -> float | None:
    quota, period = (_text(group / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period"))
    return None if quota.startswith("-") else _ratio(quota, period)


def _ratio(quota: str, period: str) -> float | None:
    try:
        value = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
    return value if value > 0 and math.isfinite(value) else None


def _integer(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
