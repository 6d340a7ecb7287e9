"""The packed file: whole or not at all, and damage is named."""

from __future__ import annotations

import errno
import os
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headrace.checkpoint.progress import NoProgress
from headrace.checkpoint.tensors import StoredTensor, Wanted
from headrace.codegen.manifest import RowsPart
from headrace.errors import CacheError, UnsupportedModelError
from headrace.formats.storage import storage_format
from headrace.runtime.pack import pack
from headrace.runtime.program import Program
from tests.runtime.programs import Built, Case, built

CASE = Case("tiny-llama@q4_0", 2)
Weights = Callable[[str], StoredTensor]


@pytest.fixture
def case() -> Built:
    return built(CASE)


class Meter(NoProgress):
    """Counts bytes and steps."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.bytes = 0
        self.ends = 0

    def start(self, label: str, total_bytes: int | None) -> None:
        self.total = total_bytes

    def advance(self, byte_count: int) -> None:
        self.bytes += byte_count

    def done(self) -> None:
        self.ends += 1


def test_packing_is_repeatable_and_shows_progress(case: Built, tmp_path: Path) -> None:
    meter = Meter()
    pack(case.manifest, case.weights, tmp_path / "packed", meter)
    assert (tmp_path / "packed").read_bytes() == case.packed.read_bytes()
    assert meter.total == case.manifest.packed_bytes >= meter.bytes > 0
    assert meter.ends == 1


def test_formats_keep_their_bits(case: Built) -> None:
    """Streams hold the bits of the stored matrices, and no more."""
    names = {name for p in case.manifest.streams for r in p.runs for t in r.weights for name in t}
    stored = sum(case.weights(name).raw.nbytes for name in names)
    assert case.manifest.weight_bytes_per_token == stored


def test_memory_is_bounded(case: Built, tmp_path: Path) -> None:
    """A table of 64 million values is converted without ever being there as a whole."""
    rows, cols = 1 << 18, 256

    def make(wanted: Wanted) -> np.ndarray:
        count = len(range(*wanted.indices(rows))) if isinstance(wanted, slice) else len(wanted)
        return np.zeros((count, 4 * cols), np.uint8)

    table = StoredTensor("table", storage_format("f32"), (rows, cols), make)
    size = rows * 2 * cols
    manifest = replace(
        case.manifest,
        streams=(),
        vectors=(),
        rows=(RowsPart("table", "bf16", rows, cols, 2 * cols, 0),),
        rows_start=0,
        packed_bytes=size,
    )
    released: list[None] = []
    tracemalloc.start()
    pack(manifest, lambda _: table, tmp_path / "packed", None, lambda: released.append(None))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "packed").stat().st_size == size
    assert len(released) > 30
    # Each thread has a million values in float32 and bf16, and the steps between them.
    assert peak < 32e6 * len(os.sched_getaffinity(0))


def refused(case: Built, weights: Weights, directory: Path, kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught:
        pack(case.manifest, weights, directory / "packed", meter := Meter())
    assert list(directory.iterdir()) == []
    assert meter.ends == 1
    return str(caught.value)


def test_a_full_disk_leaves_nothing(case: Built, tmp_path: Path) -> None:
    def fill(name: str) -> StoredTensor:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert "full" in refused(case, fill, tmp_path, CacheError)
    huge = replace(case, manifest=replace(case.manifest, packed_bytes=1 << 60))
    assert "1152921504606846976 bytes" in refused(huge, case.weights, tmp_path, CacheError)


def test_a_full_device_leaves_nothing(case: Built, tmp_path: Path) -> None:
    def fill(name: str) -> StoredTensor:
        with open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")
        return case.weights(name)

    assert "full" in refused(case, fill, tmp_path, CacheError)


@pytest.mark.parametrize("part", ["stream", "vector"])
def test_a_weight_of_another_shape_is_named(case: Built, tmp_path: Path, part: str) -> None:
    manifest = case.manifest
    wrong = manifest.streams[0].runs[0].weights[0][0]
    if part == "vector":
        wrong = manifest.vectors[-1].names[0]

    def weights(name: str) -> StoredTensor:
        tensor = case.weights(name)
        if name != wrong:
            return tensor
        half = tensor.shape[-1] // 2
        values = tensor.dequantise()[..., :half]
        raw = tensor.format.quantise(np.atleast_2d(values))
        return StoredTensor(tensor.name, tensor.format, values.shape, raw)

    assert "shape" in refused(case, weights, tmp_path, UnsupportedModelError)


@pytest.mark.parametrize("change", ["truncated", "longer", "empty", "missing"])
def test_a_damaged_file_is_named(case: Built, tmp_path: Path, change: str) -> None:
    packed, size = tmp_path / "packed", case.manifest.packed_bytes
    if change != "missing":
        packed.write_bytes(case.packed.read_bytes())
        os.truncate(packed, {"truncated": size - 1, "longer": size + 1, "empty": 0}[change])
    with pytest.raises(CacheError) as caught:
        Program(case.manifest, case.code, packed)
    assert caught.value.where == str(packed)
