"""Worker threads: asleep when idle, gone when closed, and patient on fewer processors."""

from __future__ import annotations

import gc
import os
import threading
import time

import pytest

from headrace.errors import MachineError
from headrace.runtime.schedule import Sampling, Schedule
from tests.runtime.driving import generate, ids, indices
from tests.runtime.programs import Case, built

CASE = Case("tiny-llama@f32", 2)
PROMPT = ids(10, 384)
WARM = Sampling(temperature=1.0, seed=7)


def threads() -> int:
    """The workers of this process; libraries' threads come and go as they like."""
    return sum(each.name.startswith("headrace-") for each in threading.enumerate())


def test_idle_workers_use_no_processor() -> None:
    with built(CASE).open(context=128) as program:
        for _ in range(2):
            generate(program, PROMPT, 5)
            time.sleep(0.05)
            before = time.process_time()
            time.sleep(0.5)
            assert time.process_time() - before < 0.02


def test_waiting_for_a_schedule_uses_no_processor() -> None:
    """The waiting thread sleeps; only the workers work."""
    with built(CASE).open(context=512) as program:
        program.submit(Schedule.of(PROMPT, 0, indices([9]), 500, WARM))
        before = time.thread_time()
        assert program.wait(30)
        assert time.thread_time() - before < 0.02


def test_close_joins_the_threads() -> None:
    before = threads()
    program = built(CASE).open(context=128)
    assert threads() == before + 2
    program.close()
    program.close()
    assert threads() == before
    for action in (lambda: generate(program, PROMPT, 1), lambda: program.sweep(1)):
        with pytest.raises(MachineError, match="closed"):
            action()


def test_close_ends_a_running_schedule() -> None:
    before = threads()
    program = built(CASE).open(context=512)
    program.submit(Schedule.of(PROMPT, 0, indices([9]), 500, WARM))
    program.close()
    assert threads() == before


def test_a_forgotten_program_ends_its_threads() -> None:
    before = threads()
    program = built(CASE).open(context=512)
    program.submit(Schedule.of(PROMPT, 0, indices([9]), 500, WARM))
    del program
    gc.collect()
    assert threads() == before


def test_many_programs_leave_nothing_behind() -> None:
    before = threads(), len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with built(CASE).open(context=128) as program:
            assert len(generate(program, PROMPT, 2)) == 2
        del program  # closed, it still holds its memory
    gc.collect()
    assert (threads(), len(os.listdir("/proc/self/fd"))) == before


def test_two_programs_run_side_by_side() -> None:
    case = built(CASE)
    with case.open(context=512) as first, case.open(context=512) as second:
        for program in (first, second):
            program.submit(Schedule.of(PROMPT, 0, indices([9]), 100, WARM))
        assert first.wait(30)
        assert second.wait(30)
        assert first.poll() == second.poll()


@pytest.mark.parametrize("processors", [1, 2])
def test_more_workers_than_processors_still_finish(processors: int) -> None:
    cpus = sorted(os.sched_getaffinity(0))[:processors]
    one, four = built(Case("tiny-llama@f32", 1)), built(Case("tiny-llama@f32", 4))
    with one.open(context=512) as program:
        expected = generate(program, PROMPT, 20)
    with four.open(context=512, cpus=cpus) as program:
        assert generate(program, PROMPT, 20) == expected
        start = time.perf_counter()
        assert len(generate(program, PROMPT, 200, WARM)) == 200
        # Without sleep every wait of some 2,000 would last a time slice of 3 ms or more.
        assert time.perf_counter() - start < 3


def test_a_processor_that_is_not_allowed() -> None:
    before = threads()
    for cpus in ([10**6], []):
        with pytest.raises(MachineError, match="processors"):
            built(CASE).open(context=128, cpus=cpus)
    assert threads() == before


def test_a_sweep_reads_for_some_time() -> None:
    case = built(CASE)
    with case.open(context=128) as program:
        few, many = (min(program.sweep(passes, 100) for _ in range(5)) for passes in (10, 1000))
        assert few < many
        assert case.manifest.weight_bytes_per_token * 1000 / many < 2e12  # bytes a second
        assert len(generate(program, PROMPT, 3)) == 3
