"""Memory, the control block and rotary tables."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from headrace.codegen.manifest import RotaryTable
from headrace.errors import CacheError, MachineError
from headrace.runtime.control import Control
from headrace.runtime.futex import futex_wait
from headrace.runtime.memory import Memory, map_file, read_file
from headrace.runtime.rotary import rotary_tables

HUGE_PAGE = 2 << 20


@pytest.mark.parametrize("bytes", [1, 4096, HUGE_PAGE, HUGE_PAGE + 1])
def test_memory_is_aligned_and_zero(bytes: int) -> None:
    memory = Memory(bytes)
    view = memory.view()
    assert memory.address % HUGE_PAGE == 0
    assert view.ctypes.data == memory.address
    assert view.shape == (bytes,)
    assert not view.any()


def test_a_view_keeps_its_memory() -> None:
    view = Memory(1 << 20).view()
    view[:] = 7
    assert (view == 7).all()


def kernel_flags(address: int) -> set[str]:
    """What the kernel keeps for the mapping at an address: VmFlags of proc(5)."""
    here = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        field, *values = line.split()
        if "-" in field and not field.endswith(":"):
            first, last = (int(each, 16) for each in field.split("-"))
            here = first <= address < last
        elif here and field == "VmFlags:":
            return set(values)
    raise AssertionError(f"nothing is mapped at {address:#x}")


@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="the kernel has no huge pages"
)
def test_memory_may_have_huge_pages_and_is_not_copied_to_children() -> None:
    memory = Memory(4 * HUGE_PAGE)
    flags = kernel_flags(memory.address)
    assert flags >= {"hg", "dc"}  # asked for huge pages; not copied by fork
    assert "sh" not in flags  # shared memory follows another switch, which is off by default


def test_more_memory_than_there_is() -> None:
    with pytest.raises(MachineError, match="no memory") as caught:
        Memory(1 << 62)
    assert caught.value.hint


def test_files_are_read_and_mapped(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 40)
    assert read_file(path, 1000, 5000).view().tobytes() == path.read_bytes()[1000:6000]
    assert map_file(path, 1000, 50).tobytes() == path.read_bytes()[1000:1050]
    with pytest.raises(CacheError, match="end after 10240 bytes of 10241"):
        read_file(path, 5000, 5241)


def test_control_words_do_not_overlap() -> None:
    control = Control(2)
    control["yields"] = -(2**63)
    control.set_worker(1, "stream", 99)
    control["epoch"] = 5
    assert control["yields"] == -(2**63)
    assert control["epoch"] == 5
    assert control.place("epoch") - control.address == 8 * 32


def test_futex_wait_ends_when_the_word_differs_or_time_is_up() -> None:
    word = np.array([3], np.int64)
    start = time.perf_counter()
    futex_wait(word.ctypes.data, 2, None)  # it is not 2: no sleep
    futex_wait(word.ctypes.data, 3, 0.02)
    assert 0.02 <= time.perf_counter() - start < 5


def test_rotary_tables_are_products_rounded_to_float32() -> None:
    slow, fast = RotaryTable((1.0, 0.1), 1.0), RotaryTable((0.3,), 2.0)
    found = rotary_tables([slow, fast], 1000)
    positions = np.arange(1000, dtype=np.float32)
    first, second = found[:4000].reshape(1000, 2, 2), found[4000:].reshape(1000, 2)
    angles = positions[:, None] * np.array([1.0, 0.1], np.float32)
    assert np.array_equal(first[:, 0], np.cos(angles))
    assert np.array_equal(first[:, 1], np.sin(angles))
    assert np.array_equal(second[:, 0], 2 * np.cos(positions * np.float32(0.3)))


def test_no_rotary_tables() -> None:
    assert rotary_tables([], 10).dtype == np.float32
