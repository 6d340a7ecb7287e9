"""Bindings undo exactly what llama.cpp's converter does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFWriter
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.checkpoint.binding import Binding, bind
from headrace.checkpoint.formats import FORMATS
from headrace.checkpoint.gguf import GGUFCheckpoint, open_gguf
from headrace.errors import HeadraceError, MalformedFileError, UnsupportedFormatError


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
    format=st.sampled_from(list(FORMATS)),
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
    got = bind(checkpoint, Binding("q", unpermute_heads=heads))
    np.testing.assert_array_equal(got.raw, FORMATS[format].quantise(weights))


@pytest.mark.parametrize("format", ["f32", "f16", "bf16"])
def test_a_bias_is_unpermuted_by_elements(tmp_path: Path, format: str) -> None:
    bias = np.arange(24, dtype=np.float32)
    checkpoint = written(tmp_path / "b.gguf", format, "b", permute(bias, 3))
    got = bind(checkpoint, Binding("b", unpermute_heads=3))
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
        (Binding("w", unpermute_heads=5), MalformedFileError),
        (Binding("w", unpermute_heads=0), MalformedFileError),
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
