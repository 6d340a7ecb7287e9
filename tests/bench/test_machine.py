from __future__ import annotations

import os
from dataclasses import replace

import pytest

from headrace.bench.advice import advice
from headrace.bench.bandwidth import fastest_workers, probe_bytes, read_bandwidth
from headrace.bench.diagnosis import bandwidth_lines, findings, multiply_lines
from headrace.bench.multiplier import multiply_rates
from headrace.bench.spread import Spread
from headrace.bench.together import worker_counts
from headrace.codegen.target import Target
from headrace.machine import Host

VNNI = frozenset({"avx512vnni", "avx512f", "f16c"})
CPUS = tuple(range(os.cpu_count() or 1))
GOOD = Host(
    model="A processor",
    cpu="znver5",
    isa="x86_64",
    features=VNNI,
    cpus=CPUS,
    core_cpus=CPUS,
    cpu_quota=None,
    l1d_bytes=48 << 10,
    l2_bytes=1 << 20,
    l3_bytes=32 << 20,
    memory_bytes=16 << 30,
    huge_pages="madvise",
    numa_nodes=(CPUS,),
)
SCALES = {1: Spread(9e9, 10e9, 11e9), 2: Spread(19e9, 20e9, 21e9)}


def test_reads_memory_with_one_worker_and_with_all() -> None:
    cpus = sorted(os.sched_getaffinity(0))[:2]
    found = read_bandwidth(cpus, 8 << 20, passes=1, repetitions=2)
    assert tuple(found) == worker_counts(len(cpus))
    assert all(1e8 < spread.median < 1e13 for spread in found.values())
    assert os.sched_getaffinity(0) >= set(cpus)


def test_multiplies_with_one_worker_and_with_all() -> None:
    cpus = sorted(os.sched_getaffinity(0))[:2]
    found = multiply_rates(Target.host(), cpus, rounds=1 << 10, repetitions=2)
    assert tuple(found) == worker_counts(len(cpus))
    assert all(1e7 < spread.median < 1e14 for spread in found.values())
    name, text = next(multiply_lines({1: Spread(1e11, 2e11, 3e11)}))
    assert name == "multiply, 1 worker"
    assert text == "200 G multiply-adds/s (100 G multiply-adds/s to 300 G multiply-adds/s)"


@pytest.mark.parametrize(
    ("rates", "workers"),
    [({1: 10, 2: 19, 4: 30}, 4), ({1: 10, 2: 13.2, 4: 11.6}, 2), ({1: 10, 2: 10, 4: 9.6}, 4)],
)
def test_as_many_workers_as_do_not_slow_reading(rates: dict[int, float], workers: int) -> None:
    assert fastest_workers({count: Spread.of([rate]) for count, rate in rates.items()}) == workers


def test_worker_counts_end_with_all() -> None:
    assert worker_counts(1) == (1,)
    assert worker_counts(2) == (1, 2)
    assert worker_counts(12) == (1, 2, 3, 4, 8, 12)


def test_probe_is_larger_than_the_caches_and_fits() -> None:
    assert probe_bytes(GOOD) == 256 << 20
    assert probe_bytes(replace(GOOD, l3_bytes=256 << 20)) == 1 << 30
    assert probe_bytes(replace(GOOD, memory_bytes=1 << 30)) == 128 << 20
    assert probe_bytes(replace(GOOD, memory_bytes=None, l3_bytes=None)) == 256 << 20


def test_nothing_to_say_of_a_good_machine() -> None:
    assert list(advice(GOOD, VNNI, SCALES, load=0.1)) == []


FLAT = {1: Spread(9e9, 10e9, 11e9), 2: Spread(9e9, 10.5e9, 11e9)}


@pytest.mark.parametrize(
    ("host", "special", "bandwidth", "load", "words"),
    [
        (replace(GOOD, huge_pages="never"), VNNI, SCALES, 0.0, "huge pages are off"),
        (replace(GOOD, cpu_quota=0.5), VNNI, SCALES, 0.0, "control group grants 0.5"),
        (replace(GOOD, cpus=()), VNNI, SCALES, 0.0, "affinity mask leaves 0 of"),
        (replace(GOOD, numa_nodes=((0,), (1,))), VNNI, SCALES, 0.0, "2 nodes"),
        (GOOD, frozenset[str](), SCALES, 0.0, "no instruction"),
        (GOOD, frozenset({"avx2"}), SCALES, 0.0, "AVX-512 VNNI or AVX-VNNI"),
        (replace(GOOD, isa="aarch64"), frozenset({"neon"}), SCALES, 0.0, "no dotprod"),
        (GOOD, VNNI, FLAT, 0.0, "1 of 2 workers read nearly as fast"),
        (GOOD, VNNI, SCALES, 1000.0, "Other work keeps 1000.0"),
    ],
)
def test_advice(
    host: Host, special: frozenset[str], bandwidth: dict[int, Spread], load: float, words: str
) -> None:
    (sentence,) = advice(host, special, bandwidth, load)
    assert words in sentence


def test_findings_name_the_lowerings() -> None:
    found = dict(findings(GOOD, VNNI, 2))
    assert found["workers by default"] == "2"
    assert found["8-bit products"].startswith("vpdpbusd")
    assert found["caches"] == "L1d 48 KiB, L2 1 MiB, L3 32 MiB"
    narrow = dict(findings(GOOD, frozenset({"avx2", "f16c"}), 2))
    assert narrow["8-bit products"].startswith("vpmaddubsw, vpmaddwd (AVX2)")
    assert narrow["half floats"] == "converted by the processor"
    plain = dict(findings(GOOD, frozenset(), 2))
    assert plain["8-bit products"].startswith("plain lowering")
    assert plain["half floats"] == "converted by integer arithmetic"
    limited = dict(findings(replace(GOOD, cpu_quota=1.5, memory_bytes=None), VNNI, 1))
    assert limited["cores"].endswith("grants 1.5")
    assert limited["memory"] == "the system does not tell"


def test_bandwidth_has_a_line_for_each_count() -> None:
    assert dict(bandwidth_lines(SCALES)) == {
        "read, 1 worker": "10.0 GB/s (9.0 GB/s to 11.0 GB/s)",
        "read, 2 workers": "20.0 GB/s (19.0 GB/s to 21.0 GB/s)",
    }
