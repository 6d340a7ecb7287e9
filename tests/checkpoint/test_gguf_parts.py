"""Models split over several GGUF files, whole and damaged."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.checkpoint.gguf import open_gguf
from headrace.checkpoint.gguf_parts import part_names
from headrace.checkpoint.source import fingerprint, resolve
from headrace.errors import HeadraceError, MalformedFileError, SourceError
from headrace.formats.random_blocks import random_matrix
from headrace.formats.storage import FORMATS

PARTS = 3
TENSORS = [f"blk.{index}.weight" for index in range(5)]


def rows_of(name: str) -> np.ndarray:
    seed = TENSORS.index(name)
    return random_matrix(np.random.default_rng(seed), FORMATS["q4_0"], 4, 64)


def write_split(directory: Path, tensors: list[str] = TENSORS, first_empty: bool = False) -> Path:
    """Two tensors a part, or none in the first."""
    path = directory / "model.gguf"
    writer = GGUFWriter(path, "llama", split_max_tensors=2, small_first_shard=first_empty)
    writer.add_uint32("llama.block_count", 5)
    writer.add_array("tokenizer.ggml.tokens", ["a", "b"])
    for name in tensors:
        writer.add_tensor(name, rows_of(name), raw_dtype=GGMLQuantizationType.Q4_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return part(directory, 1)


def part(directory: Path, number: int, count: int = PARTS) -> Path:
    return directory / f"model-{number:05}-of-{count:05}.gguf"


@pytest.mark.parametrize("number", [1, 2, 3])
def test_any_part_opens_the_whole_model(tmp_path: Path, number: int) -> None:
    write_split(tmp_path)
    opened = open_gguf(part(tmp_path, number))
    assert opened.path == part(tmp_path, 1)
    assert opened.metadata["llama.block_count"] == 5
    assert list(opened.names()) == TENSORS
    for name in TENSORS:
        np.testing.assert_array_equal(opened.tensor(name).raw, rows_of(name))


def test_a_first_part_without_tensors(tmp_path: Path) -> None:
    write_split(tmp_path, first_empty=True)
    assert len(GGUFReader(part(tmp_path, 1, 4)).tensors) == 0
    opened = open_gguf(part(tmp_path, 4, 4))
    assert list(opened.names()) == TENSORS
    assert opened.metadata["tokenizer.ggml.tokens"] == ["a", "b"]


def test_one_of_one_is_a_whole_model(tmp_path: Path) -> None:
    path = write_split(tmp_path, TENSORS[:2], first_empty=False)
    whole = part(tmp_path, 1, 1)
    (tmp_path / "model.gguf").rename(whole)
    assert not path.exists()
    assert list(open_gguf(whole).names()) == TENSORS[:2]


def test_the_source_is_the_first_part_and_its_fingerprint_covers_all(tmp_path: Path) -> None:
    write_split(tmp_path)
    first, last = resolve(part(tmp_path, 1)), resolve(str(part(tmp_path, 3)))
    assert first.path == last.path == part(tmp_path, 1)
    before = fingerprint(first)
    assert fingerprint(last) == before
    data = bytearray(part(tmp_path, 3).read_bytes())
    data[-1] ^= 1
    part(tmp_path, 3).write_bytes(data)
    assert fingerprint(first) != before


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    write_split(tmp_path)
    part(tmp_path, 2).unlink()
    for act in (open_gguf, resolve):
        with pytest.raises(SourceError, match=r"part model-00002-of-00003\.gguf of this"):
            act(part(tmp_path, 3))
    part(tmp_path, 1).unlink()
    with pytest.raises(SourceError, match=r"00001-of-00003\.gguf \(and 1 more\)"):
        open_gguf(part(tmp_path, 3))


def renamed(directory: Path) -> Path:
    return part(directory, 1).rename(directory / "whole.gguf")


def swapped(directory: Path) -> Path:
    shutil.copy(part(directory, 2), part(directory, 3))
    return part(directory, 1)


def other_count(directory: Path) -> Path:
    for number in (1, 2):
        part(directory, number).rename(part(directory, number, 2))
    return part(directory, 1, 2)


def other_model(directory: Path) -> Path:
    other = directory / "other"
    other.mkdir()
    write_split(other, [*TENSORS[:3], TENSORS[4]], first_empty=False)
    shutil.copy(part(other, 2, 2), part(directory, 2))
    return part(directory, 1)


def overlapping(directory: Path) -> Path:
    other = directory / "other"
    other.mkdir()
    write_split(other, TENSORS[::-1])
    shutil.copy(part(other, 2), part(directory, 2))
    return part(directory, 1)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (renamed, "one of 3 parts, its name that it is one of 1"),
        (swapped, "named as part 3, but says that it is part 2"),
        (other_count, "one of 3 parts, its name that it is one of 2"),
        (other_model, "one of 2 parts, its name that it is one of 3"),
        (overlapping, r"tensor 'blk\.\d\.weight' is also in model-0000\d-of"),
    ],
)
def test_parts_that_do_not_belong_together(
    tmp_path: Path, damage: Callable[[Path], Path], message: str
) -> None:
    write_split(tmp_path)
    with pytest.raises(MalformedFileError, match=message):
        open_gguf(damage(tmp_path))


def replaced(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))


def test_a_wrong_number_of_tensors(tmp_path: Path) -> None:
    write_split(tmp_path)
    key = b"split.tensors.count"
    old, new = (key + struct.pack("<Ii", 5, count) for count in (5, 6))
    replaced(part(tmp_path, 2), old, new)
    with pytest.raises(MalformedFileError, match="has 6 tensors; the parts hold 5"):
        open_gguf(part(tmp_path, 1))


@pytest.mark.parametrize("value", ["3", [3, 3], True, 1.5])
def test_a_count_that_is_no_number(tmp_path: Path, value: object) -> None:
    writer = GGUFWriter(tmp_path / "odd.gguf", "llama")
    writer.add_key_value("split.count", value, GGUFValueType.get_type(value))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    with pytest.raises(MalformedFileError, match=r"'split\.count' is not a number"):
        open_gguf(tmp_path / "odd.gguf")


QUICK = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@QUICK
@given(
    number=st.integers(1, PARTS),
    flips=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), min_size=1, max_size=4),
)
def test_flipped_bytes(
    tmp_path_factory: pytest.TempPathFactory, number: int, flips: list[tuple[int, int]]
) -> None:
    directory = tmp_path_factory.getbasetemp() / "flipped-parts"
    if not directory.exists():
        directory.mkdir()
        write_split(directory)
    path = part(directory, number)
    whole = path.read_bytes()
    data = bytearray(whole)
    for position, mask in flips:
        data[position % len(data)] ^= mask
    path.write_bytes(data)
    try:
        opened = open_gguf(path)
        for name in opened.names():
            opened.tensor(name).dequantise()
    except HeadraceError:
        pass
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("m.gguf", ["m.gguf"]),
        ("m-00002-of-00002.gguf", ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]),
        ("m-00003-of-00002.gguf", ["m-00003-of-00002.gguf"]),
        ("m-00000-of-00002.gguf", ["m-00000-of-00002.gguf"]),
        ("m-1-of-2.gguf", ["m-1-of-2.gguf"]),
        ("-00001-of-00001.gguf", ["-00001-of-00001.gguf"]),
    ],
)
def test_names_of_parts(name: str, expected: list[str]) -> None:
    assert part_names(name) == expected
