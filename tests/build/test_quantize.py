"""`quantize`: what it writes loads as the source does with the same weights, here and elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from headrace.api import load
from headrace.build.quantize import Written, quantize
from headrace.checkpoint.compressed_writing import write_weights
from headrace.checkpoint.gguf import open_gguf
from headrace.checkpoint.quantised import open_directory
from headrace.checkpoint.safetensors import INDEX
from headrace.checkpoint.source import resolve
from headrace.errors import RequestError, UnsupportedModelError
from headrace.formats.storage import FORMATS
from headrace.text import Tokenizer
from tests.build.cached import shared_cache, tiny_directory

GGUF = "random:tiny-llama@f16"
IDS = [3, 14, 15, 92, 65, 35]


@pytest.fixture(scope="module", autouse=True)
def cache_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with shared_cache(tmp_path_factory) as directory:
        yield directory


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_directory(tmp_path_factory)


def logits(source: str | Path, weights: str = "auto") -> np.ndarray:
    with load(source, weights, threads=1) as model:
        return model.logits(IDS)


@pytest.mark.parametrize(
    "weights",
    ["q4", *(pytest.param(each, marks=pytest.mark.slow) for each in ("q8", "bf16", "f32"))],
)
def test_a_file_loads_as_its_source_does(tmp_path: Path, weights: Written) -> None:
    written = quantize(GGUF, tmp_path / "new.gguf", weights)
    np.testing.assert_array_equal(logits(written), logits(GGUF, weights))


@pytest.mark.parametrize(
    "weights",
    ["q8", *(pytest.param(each, marks=pytest.mark.slow) for each in ("q4", "bf16", "f32"))],
)
def test_a_directory_loads_as_its_source_does(
    tmp_path: Path, directory: Path, weights: Written
) -> None:
    written = quantize(directory, tmp_path / "new", weights)
    np.testing.assert_array_equal(logits(written), logits(directory, weights))
    prompt = "Grüße 🙂"
    assert Tokenizer.from_directory(written).encode(prompt) == Tokenizer.from_directory(
        directory
    ).encode(prompt)


def test_a_file_keeps_everything_else(tmp_path: Path) -> None:
    source = open_gguf(resolve(GGUF).path)
    written = open_gguf(quantize(GGUF, tmp_path / "new.gguf", "q8"))
    assert list(written.names()) == list(source.names())
    changed = {"general.file_type", "general.quantization_version"}
    for key, value in source.metadata.items():
        if key not in changed:
            np.testing.assert_array_equal(written.metadata[key], value)  # pyright: ignore
    assert set(written.metadata) == set(source.metadata) | changed
    for name in source.names():
        old, new = source.tensor(name), written.tensor(name)
        assert new.format.name == ("q8_0" if len(old.shape) == 2 else old.format.name)
        assert new.shape == old.shape


@pytest.mark.parametrize("weights", ["q4", "q8"])
def test_transformers_reads_a_directory(tmp_path: Path, directory: Path, weights: Written) -> None:
    """With compressed-tensors: the values of every parameter are ours."""
    from transformers import AutoModelForCausalLM, CompressedTensorsConfig

    written = quantize(directory, tmp_path / "new", weights)
    checkpoint = open_directory(written)
    unpacked = CompressedTensorsConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(
        written, dtype=torch.float32, quantization_config=unpacked
    )
    values = dict(model.named_parameters())
    assert set(values) == set(checkpoint.names())
    for name, value in values.items():
        wanted = checkpoint.tensor(name).dequantise()
        if value.dim() == 2:  # the library rounds products to the type of the scale
            wanted = wanted.astype(np.float16)
        np.testing.assert_array_equal(value.detach().numpy(), wanted.astype(np.float32))


def test_large_models_are_split(tmp_path: Path, directory: Path) -> None:
    source = open_directory(directory)
    formats = dict.fromkeys(source.names(), FORMATS["bf16"])
    written: list[int] = []
    (tmp_path / "config.json").write_text("{}")
    write_weights(source, formats, tmp_path, written.append, shard_bytes=30_000)
    files = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert len(files) > 3
    assert files[-1] == f"model-{len(files):05}-of-{len(files):05}.safetensors"
    index = json.loads((tmp_path / INDEX).read_text())
    assert index["metadata"]["total_size"] == sum(written)
    again = open_directory(tmp_path)
    for name, tensor in load_file(directory / "model.safetensors").items():
        np.testing.assert_array_equal(again.tensor(name).dequantise(), tensor.bfloat16().float())


def test_nothing_is_overwritten(tmp_path: Path, directory: Path) -> None:
    for source, name in ((GGUF, "a.gguf"), (directory, "b")):
        output = tmp_path / name
        output.write_text("precious")
        with pytest.raises(RequestError, match="not overwritten"):
            quantize(source, output, "q4")
        assert output.read_text() == "precious"


def test_an_interrupted_run_leaves_nothing(tmp_path: Path, directory: Path) -> None:
    """A weight that cannot be quantised comes to light when others are written already."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_bytes((directory / "config.json").read_bytes())
    tensors = load_file(directory / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][3, 5] = torch.nan
    save_file(tensors, broken / "model.safetensors")
    with pytest.raises(UnsupportedModelError, match="not finite"):
        quantize(broken, tmp_path / "new", "q4")
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


def test_a_file_is_named_as_one(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="becomes a GGUF file"):
        quantize(GGUF, tmp_path / "new", "q4")


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot be written"):
        quantize(GGUF, tmp_path / "missing" / "new.gguf", "q4")
