"""Bindings: what llama.cpp's converter does is undone exactly; rows, transposition, addition."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFWriter
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.checkpoint.binding import Binding, bind, unpermuted
from headrace.checkpoint.gguf import GGUFCheckpoint, open_gguf
from headrace.checkpoint.row_view import JoinedViews, RowView, row_view
from headrace.errors import HeadraceError, MalformedFileError, UnsupportedFormatError
from headrace.formats.storage import FORMATS


def permute(weights: np.ndarray, heads: int) -> np.ndarray:
    """`LlamaModel.permute` of llama.cpp's converter."""
    rows = weights.shape[0]
    split = weights.reshape(heads, 2, rows // heads // 2, *weights.shape[1:])
    return split.swapaxes(1, 2).reshape(weights.shape)


def written(path: Path, format: str, name: str, values: np.ndarray) -> GGUFCheckpoint:
    writer = GGUFWriter(path, "llama")
    raw = FORMATS[format].quantise(values.reshape(-1, values.shape[-1]))
    raw = raw.reshape(*values.shape[:-1], -1)
    writer.add_tensor(name, raw, raw_dtype=GGMLQuantizationType[format.upper()])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return open_gguf(path)


@settings(max_examples=25, deadline=None)
@given(
    format=st.sampled_from(["f32", "f16", "bf16", "q4_0", "q4_1", "q8_0"]),
    heads=st.integers(1, 6),
    half=st.integers(1, 5),
    seed=st.integers(0, 1000),
)
def test_unpermute_undoes_the_converter(
    tmp_path_factory: pytest.TempPathFactory, format: str, heads: int, half: int, seed: int
) -> None:
    weights = np.random.default_rng(seed).standard_normal((heads * 2 * half, 64))
    weights = weights.astype(np.float32)
    path = tmp_path_factory.mktemp("bind") / "q.gguf"
    checkpoint = written(path, format, "q", permute(weights, heads))
    got = bind(checkpoint, Binding("q", (unpermuted(heads * 2 * half, heads),)))
    np.testing.assert_array_equal(got.raw, FORMATS[format].quantise(weights))


@pytest.mark.parametrize("format", ["f32", "f16", "bf16"])
def test_a_bias_is_unpermuted_by_elements(tmp_path: Path, format: str) -> None:
    bias = np.arange(24, dtype=np.float32)
    checkpoint = written(tmp_path / "b.gguf", format, "b", permute(bias, 3))
    got = bind(checkpoint, Binding("b", (unpermuted(24, 3),)))
    assert got.shape == (24,)
    np.testing.assert_array_equal(got.dequantise(), bias)


def test_add_gives_float32(tmp_path: Path) -> None:
    norm = np.linspace(0.5, 1.5, 16, dtype=np.float32)
    checkpoint = written(tmp_path / "n.gguf", "bf16", "n", norm)
    stored = checkpoint.tensor("n").dequantise()
    got = bind(checkpoint, Binding("n", add=-1.0))
    assert got.format.name == "f32"
    np.testing.assert_array_equal(got.dequantise(), stored - np.float32(1))


@pytest.mark.parametrize(
    ("binding", "error"),
    [
        (Binding("w", (RowView(3, ((6, 1),)),)), MalformedFileError),
        (Binding("w", (RowView(3, ((4, -1),)), RowView(4, ((1, 1),)))), MalformedFileError),
        (Binding("w", (RowView(2, ((4, -1),)),)), MalformedFileError),
        (Binding("w", transpose=True), UnsupportedFormatError),
        (Binding("w", flat=True), UnsupportedFormatError),
        (Binding("w", add=1.0), UnsupportedFormatError),
        (Binding("absent"), MalformedFileError),
    ],
)
def test_what_cannot_be_bound_is_an_error(
    tmp_path: Path, binding: Binding, error: type[HeadraceError]
) -> None:
    checkpoint = written(tmp_path / "w.gguf", "q8_0", "w", np.zeros((8, 32), np.float32))
    with pytest.raises(error):
        bind(checkpoint, binding)


def test_heads_must_divide_the_rows() -> None:
    for heads in (0, 5, 8):
        with pytest.raises(MalformedFileError):
            unpermuted(8, heads)


views = st.builds(
    RowView,
    st.integers(0, 9),
    st.lists(st.tuples(st.integers(1, 5), st.integers(-3, 40)), min_size=1, max_size=4).map(tuple),
)


@given(views)
def test_a_view_is_found_from_its_row_numbers(view: RowView) -> None:
    found = row_view(view.indices())
    assert found is not None
    np.testing.assert_array_equal(found.indices(), view.indices())
    assert found.count == view.count == len(view.indices())
    assert len(found.dims) <= len(view.dims)


@given(st.permutations(range(8)))
def test_other_orders_are_no_views(order: list[int]) -> None:
    found = row_view(np.array(order))
    assert found is None or found.indices().tolist() == order


def test_no_rows_are_no_view() -> None:
    assert row_view(np.arange(0)) is None


@settings(max_examples=30, deadline=None)
@given(
    format=st.sampled_from(["f32", "f16", "bf16"]),
    transpose=st.booleans(),
    first=st.lists(st.tuples(st.integers(1, 3), st.integers(0, 3)), min_size=1, max_size=3),
    seed=st.integers(0, 100),
)
def test_steps_are_applied_in_order(
    tmp_path_factory: pytest.TempPathFactory,
    format: str,
    transpose: bool,
    first: list[tuple[int, int]],
    seed: int,
) -> None:
    values = np.random.default_rng(seed).standard_normal((24, 32)).astype(np.float32)
    checkpoint = written(tmp_path_factory.mktemp("steps") / "w.gguf", format, "w", values)
    stored = checkpoint.tensor("w").dequantise()
    view = RowView(1, tuple(first))
    second = RowView(view.count - 1, ((view.count, -1),))
    binding = Binding("w", (view, second), 0.5, transpose)
    expected = (stored.T if transpose else stored)[view.indices()[::-1]] + np.float32(0.5)
    got = bind(checkpoint, binding)
    assert got.shape == binding.shape(stored.shape) == expected.shape
    np.testing.assert_array_equal(binding.of({"w": stored}), expected)
    np.testing.assert_array_equal(got.dequantise(), expected)
    flat = bind(checkpoint, Binding("w", (view, second), 0.5, transpose, flat=True))
    np.testing.assert_array_equal(flat.dequantise(), expected.ravel())
    base = Binding("w", (), 0.25, transpose)
    assert base.then(Binding("w", (view, second), 0.25)) == binding


def test_joined(tmp_path: Path) -> None:
    values = np.arange(64, dtype=np.float32).reshape(8, 8)
    checkpoint = written(tmp_path / "w.gguf", "f16", "w", values)
    first, second = (RowView(start, ((2, 1),)) for start in (4, 1))
    view = Binding("p", (first,), joined=(Binding("p", (second,)),))
    got = bind(checkpoint, view.within({"p": Binding("w")}))
    np.testing.assert_array_equal(got.dequantise(), values[[4, 5, 1, 2]])
    np.testing.assert_array_equal(view.of({"p": values}), values[[4, 5, 1, 2]])
    flat = Binding("w", (first,), flat=True, joined=(Binding("w", (second,), flat=True),))
    np.testing.assert_array_equal(bind(checkpoint, flat).dequantise(), values[[4, 5, 1, 2]].ravel())
    assert Binding.from_fields(json.loads(json.dumps(asdict(flat)))) == flat
    with pytest.raises(UnsupportedFormatError):
        bind(checkpoint, Binding("w", joined=(Binding("w", add=1.0),)))


def test_transposed_twice_is_as_stored() -> None:
    binding = Binding("w", transpose=True).then(Binding("p", transpose=True))
    assert binding == Binding("w")
    with pytest.raises(UnsupportedFormatError):
        Binding("w", (RowView(0, ((4, 1),)),)).then(Binding("p", transpose=True))


def test_consecutive_rows_are_no_copy(tmp_path: Path) -> None:
    values = np.arange(256, dtype=np.float32).reshape(8, 32)
    checkpoint = written(tmp_path / "w.gguf", "q8_0", "w", values)
    got = bind(checkpoint, Binding("w", (RowView(2, ((2, 2), (2, 1))),)))
    assert np.shares_memory(got.raw, checkpoint.tensor("w").raw)
    np.testing.assert_array_equal(got.raw, checkpoint.tensor("w").raw[2:6])


joined = st.lists(views, min_size=1, max_size=3).map(lambda each: JoinedViews(tuple(each)))


@given(joined)
def test_joined_views_are_one_after_the_other(join: JoinedViews) -> None:
    expected = [row for view in join.views for row in view.indices().tolist()]
    assert join.indices().tolist() == expected
    assert join.count == len(expected)


@given(st.builds(Binding, st.text(), st.lists(views | joined, max_size=2).map(tuple), st.just(0.5)))
def test_bindings_round_trip_through_json(binding: Binding) -> None:
    assert Binding.from_fields(json.loads(json.dumps(asdict(binding)))) == binding


def test_a_view_that_leaves_rows_out_is_noticed() -> None:
    binding = Binding("w", (unpermuted(8, 2),))
    assert binding.uses_all((8, 3))
    assert not binding.uses_all((12, 3))
    assert not binding.uses_all((4, 3))
    assert Binding("w", (RowView(0, ((3, 1),)),), transpose=True).uses_all((8, 3))
