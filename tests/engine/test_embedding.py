"""Embeddings against transformers' hidden states of the same files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import headrace
from headrace.engine.embedding import Embedding, Pooling, embed
from headrace.errors import ContextLengthError, RequestError

Floats = NDArray[np.float32]
MANY = np.random.default_rng(0).integers(0, 255, 150).tolist()  # three chunks of mean pooling
poolings = pytest.mark.parametrize("pooling", ["mean", "last"])


def reference_rows(directory: Path, ids: list[int]) -> Floats:
    """transformers' rows behind the last norm, `[T, features]`."""
    import torch
    from transformers import AutoModel

    reference = AutoModel.from_pretrained(directory, dtype=torch.float32)
    with torch.no_grad():
        return reference(torch.tensor([ids])).last_hidden_state[0].numpy()


@poolings
@pytest.mark.parametrize("ids", [MANY[:1], MANY[:64], MANY], ids=["one", "chunk", "many"])
def test_vectors_are_those_of_transformers(
    model: headrace.Model, tiny: Path, pooling: Pooling, ids: list[int]
) -> None:
    rows = reference_rows(tiny, ids)
    pooled = rows.mean(axis=0) if pooling == "mean" else rows[-1]
    vector = embed(model.program, ids, pooling)
    assert vector.dtype == np.float32
    assert abs(float(np.linalg.norm(vector)) - 1) < 1e-6
    # float32 throughout, but for the order of sums and this engine's exponentials: logits of this
    # model agree within 1e-3 of some 30; a component of 1/8 (of 64 features) within 1e-5.
    np.testing.assert_allclose(vector, pooled / np.linalg.norm(pooled), atol=1e-5)


@poolings
def test_chunks_do_not_change_a_vector(model: headrace.Model, pooling: Pooling) -> None:
    program = model.program
    tokens = np.array(MANY, np.int32)
    program.set_blocks(3, [7, 2, 9])
    embedding = Embedding(tokens, 3, program, pooling)
    between = embed(program, MANY[:9])
    while not embedding.done:
        program.submit(embedding.next())
        program.wait()
        embedding.take(program.hidden())
        assert (embed(program, MANY[:9]) == between).all()
    assert (embedding.vector() == embed(program, MANY, pooling)).all()


def test_wrong_tokens_are_named(model: headrace.Model) -> None:
    with pytest.raises(RequestError, match="no tokens"):
        embed(model.program, [])
    with pytest.raises(RequestError) as caught:
        embed(model.program, [1, 10**6])
    assert caught.value.where == "input[1]"
    with pytest.raises(ContextLengthError):
        embed(model.program, [1] * (model.context + 1))
