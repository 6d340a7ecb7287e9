"""Damaged headers: the reader returns or raises a headrace error, fast and in little memory."""

from __future__ import annotations

import struct
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.checkpoint.gguf import open_gguf
from headrace.checkpoint.progress import NoProgress
from headrace.checkpoint.random_model import parse_random, write_random
from headrace.errors import HeadraceError

MOST_SECONDS = 2.0
MOST_BYTES = 16 << 20
HEADER_BYTES = 8_000
EDGES = (0, 1, 31, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 32, 1 << 61, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    directory = tmp_path_factory.mktemp("model")
    model = parse_random("random:tiny-llama3@q4_1")
    return write_random(model, directory, NoProgress()).read_bytes()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged") / "damaged.gguf"


def read_all(path: Path) -> None:
    opened = open_gguf(path)
    for name in opened.names():
        try:
            stored = opened.tensor(name)
        except HeadraceError:
            continue
        assert stored.raw.nbytes <= path.stat().st_size


def check(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    started = time.monotonic()
    tracemalloc.start()
    try:
        read_all(path)
    except HeadraceError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MOST_BYTES
    assert time.monotonic() - started < MOST_SECONDS


FLIPS = st.lists(
    st.tuples(st.integers(0, HEADER_BYTES - 1), st.integers(1, 255)), min_size=1, max_size=6
)
QUICK = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@QUICK
@given(flips=FLIPS)
def test_flipped_bytes(whole: bytes, path: Path, flips: list[tuple[int, int]]) -> None:
    data = bytearray(whole)
    for position, mask in flips:
        data[position] ^= mask
    check(path, bytes(data))


@QUICK
@given(position=st.integers(0, HEADER_BYTES), value=st.sampled_from(EDGES), wide=st.booleans())
def test_extreme_numbers(whole: bytes, path: Path, position: int, value: int, wide: bool) -> None:
    number = struct.pack("<Q", value) if wide else struct.pack("<I", value & 0xFFFFFFFF)
    check(path, whole[:position] + number + whole[position + len(number) :])


@QUICK
@given(
    start=st.integers(0, HEADER_BYTES), length=st.integers(0, 600), insert=st.binary(max_size=64)
)
def test_cut_out_and_inserted(
    whole: bytes, path: Path, start: int, length: int, insert: bytes
) -> None:
    check(path, whole[:start] + insert + whole[start + length :])


@QUICK
@given(share=st.floats(0, 1))
def test_truncated(whole: bytes, path: Path, share: float) -> None:
    check(path, whole[: int(share * len(whole))])


@QUICK
@given(tail=st.binary(max_size=400))
def test_noise_after_a_good_start(path: Path, tail: bytes) -> None:
    check(path, b"GGUF" + struct.pack("<I", 3) + tail)
