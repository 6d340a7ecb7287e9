"""Random models: complete, deterministic, at the shape they claim."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader

from headrace.checkpoint.gguf import open_gguf
from headrace.checkpoint.progress import NoProgress
from headrace.checkpoint.random_model import parse_random, write_random
from headrace.checkpoint.random_tensors import Planned, generate, plan, rope_factors
from headrace.checkpoint.random_vocabulary import random_vocabulary
from headrace.checkpoint.shapes import SHAPES, Llama3Scaling
from headrace.errors import SourceError
from headrace.formats.random_blocks import random_matrix
from headrace.formats.storage import FORMATS

TINY = [name for name in SHAPES if name.startswith("tiny")]


SMALL_BLOCKS = [name for name, each in FORMATS.items() if each.block <= 32]


@pytest.mark.parametrize("format", SMALL_BLOCKS)
@pytest.mark.parametrize("shape", TINY)
def test_every_tiny_model_in_every_format(tmp_path: Path, shape: str, format: str) -> None:
    model = parse_random(f"random:{shape}@{format}")
    path = write_random(model, tmp_path, NoProgress())
    opened = open_gguf(path)
    planned = list(plan(model.shape, model.format))
    assert list(opened.names()) == [each.name for each in planned]
    for each in planned:
        stored = opened.tensor(each.name)
        assert (stored.shape, stored.format) == (each.shape, each.format)
        assert np.isfinite(stored.dequantise()).all()
    assert opened.metadata["general.architecture"] == model.shape.architecture
    assert ("output.weight" in opened.names()) is not model.shape.tied
    assert [path.name for path in tmp_path.iterdir()] == [model.file_name]


def test_the_reference_reader_agrees(tmp_path: Path) -> None:
    path = write_random(parse_random("random:tiny-gemma3@q8_0"), tmp_path, NoProgress())
    opened, reference = open_gguf(path), GGUFReader(path)
    for each in reference.tensors:
        np.testing.assert_array_equal(
            opened.tensor(each.name).raw.ravel(), each.data.view(np.uint8).ravel()
        )
    for key, value in opened.metadata.items():
        expected = reference.fields[key].contents()
        assert list(np.atleast_1d(value)) == list(np.atleast_1d(expected)), key


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    model = parse_random("random:tiny-llama@q4_0")
    contents = [
        write_random(model, tmp_path / name, NoProgress(), seed).read_bytes()
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert contents[0] == contents[1]
    assert contents[0] != contents[2]


@pytest.mark.parametrize("format", FORMATS)
def test_values_have_mean_0_and_deviation_of_their_width(format: str) -> None:
    random = np.random.default_rng(0)
    raw = random_matrix(random, FORMATS[format], 256, 1024)
    values = FORMATS[format].dequantise(raw, 1024)
    assert abs(values.mean()) < 0.002
    assert 0.9 < values.std() * 1024**0.5 < 1.15


def test_rows_that_end_within_a_block_are_refused() -> None:
    with pytest.raises(SourceError, match="rows of 64 values, which are no whole q6_k blocks"):
        parse_random("random:tiny-llama@q6_k")
    assert parse_random("random:llama-3.2-1b@q6_k").format == FORMATS["q6_k"]


def test_rope_factors_are_those_of_transformers() -> None:
    modeling = pytest.importorskip("transformers.modeling_rope_utils")
    config = pytest.importorskip("transformers").LlamaConfig(
        hidden_size=2048,
        num_attention_heads=32,
        max_position_embeddings=131072,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 32.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
    )
    scaled, _ = modeling.ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = 500000.0 ** -(np.arange(0, 64, 2) / 64)
    factors = rope_factors(500000.0, 64, Llama3Scaling(32.0, 1.0, 4.0, 8192))
    np.testing.assert_allclose(plain / factors, scaled.numpy(), rtol=1e-5)


@pytest.mark.parametrize("size", [384, 49152])
def test_the_vocabulary_is_unique_and_its_merges_are_in_it(size: int) -> None:
    vocabulary = random_vocabulary(size)
    assert len(vocabulary.tokens) == len(vocabulary.types) == size
    assert max(Counter(vocabulary.tokens).values()) == 1
    known = set(vocabulary.tokens)
    for merge in vocabulary.merges:
        left, right = merge.split(" ")
        assert {left, right, left + right} <= known


@pytest.mark.parametrize(
    ("name", "count"), [("llama-3.2-1b", 1_235_814_400), ("llama-3.1-8b", 8_030_261_248)]
)
def test_shapes_have_their_published_sizes(name: str, count: int) -> None:
    tensors = plan(SHAPES[name], FORMATS["bf16"])
    weights = sum(int(np.prod(each.shape)) for each in tensors if "rope" not in each.name)
    assert weights == count


def test_large_matrices_are_made_in_pieces() -> None:
    planned = Planned("token_embd.weight", ((1 << 24) // 512 + 3, 512), FORMATS["f16"])
    made = generate(SHAPES["tiny-llama"], planned, seed=0)
    values = FORMATS["f16"].dequantise(made, 512)
    assert len(np.unique(made, axis=0)) == len(made)
    assert 0.95 < values.std() * 512**0.5 < 1.05


@pytest.mark.parametrize(
    "text", ["random:", "random:tiny-llama", "random:tiny@q4_0", "random:tiny-llama@q9"]
)
def test_a_wrong_name_lists_the_right_ones(text: str) -> None:
    with pytest.raises(SourceError) as caught:
        parse_random(text)
    assert "llama-3.2-1b" in (caught.value.hint or "")
    assert "q4_0" in (caught.value.hint or "")
