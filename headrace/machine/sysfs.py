"""What the kernel tells about processors, caches and pages under /proc and /sys.

Every function takes `root`, where /proc and /sys stand ("/" but for tests), and answers None or
an empty tuple for what this kernel does not tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def cpu_model(root: Path) -> str | None:
    """The processor's name as it calls itself."""
    return _field(_text(root / "proc/cpuinfo"), r"^model name\s*:\s*(.+)$")


def installed_memory(root: Path) -> int | None:
    """Bytes of memory in the machine."""
    kib = _field(_text(root / "proc/meminfo"), r"^MemTotal:\s*(\d+) kB")
    return None if kib is None else int(kib) * 1024


def huge_page_mode(root: Path) -> str | None:
    """How transparent huge pages are given: "always", "madvise" or "never"."""
    enabled = _text(root / "sys/kernel/mm/transparent_hugepage/enabled")
    return _field(enabled, r"\[(\w+)\]")


def numa_nodes(root: Path) -> tuple[tuple[int, ...], ...]:
    """The processors of each memory node."""
    nodes = sorted((root / "sys/devices/system/node").glob("node[0-9]*/cpulist"))
    return tuple(parse_cpu_list(_text(node)) for node in nodes)


def one_cpu_per_core(root: Path, cpus: Iterable[int]) -> tuple[int, ...]:
    """Of the given processors, the first of each physical core (drops SMT siblings)."""
    seen: set[int] = set()
    chosen: list[int] = []
    for cpu in sorted(cpus):
        if cpu not in seen:
            chosen.append(cpu)
        seen.update(parse_cpu_list(_text(_cpu(root, cpu) / "topology/thread_siblings_list")))
    return tuple(chosen)


def cache_bytes(root: Path, cpus: Iterable[int], level: int) -> tuple[int, ...]:
    """Sizes of the distinct data or unified caches of a level that these processors reach."""
    found: dict[tuple[int, ...], int] = {}
    for cpu in cpus:
        for cache in _data_caches(root, cpu, level):
            size = parse_size(_text(cache / "size"))
            sharers = parse_cpu_list(_text(cache / "shared_cpu_list")) or (cpu,)
            if size is not None:
                found[sharers] = size
    return tuple(found.values())


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """Read the kernel's "0-2,5" as (0, 1, 2, 5); what is not of this form is left out."""
    cpus: list[int] = []
    for part in text.strip().split(","):
        match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", part.strip())
        if match:
            first = int(match[1])
            cpus.extend(range(first, int(match[2] or first) + 1))
    return tuple(cpus)


def parse_size(text: str) -> int | None:
    """Read the kernel's "1024K" as bytes."""
    match = re.fullmatch(r"(\d+)([KMG]?)", text.strip())
    return int(match[1]) * UNITS[match[2]] if match else None


def _data_caches(root: Path, cpu: int, level: int) -> Iterator[Path]:
    for cache in sorted((_cpu(root, cpu) / "cache").glob("index[0-9]*")):
        kind, at = (_text(cache / name).strip() for name in ("type", "level"))
        if at == str(level) and kind != "Instruction":
            yield cache


def _cpu(root: Path, cpu: int) -> Path:
    return root / f"sys/devices/system/cpu/cpu{cpu}"


def _field(text: str, pattern: str) -> str | None:
    match = re.search(pattern, text, re.MULTILINE)
    return match[1].strip() if match else None


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
