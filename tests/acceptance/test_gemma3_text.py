"""Gemma 3 270M's text and logits against transformers on the same weights, dequantised to float32.

The file holds Q4_K, Q6_K, Q5_0 and Q8_0; five of six layers look back through a window of 512.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from transformers import PreTrainedModel

import headrace
from tests.acceptance.comparison import (
    Comparison,
    assert_same_greedy_text,
    greedy,
    reference_logits,
    reference_model,
    table,
)

pytestmark = pytest.mark.slow

# The model continues texts; it was not trained to answer.
PROMPTS = (
    "The sky is blue because",
    "A haiku about rivers:\n",
    "The capital of France is known for",
    "A water wheel is a machine that",
    "def reverse(items: list[int]) -> list[int]:\n",
)
PASSAGE = (
    "Water runs down the headrace and turns the wheel. The wheel turns as fast as the channel is "
    "kept full, and the miller keeps it full by day and by night. "
)
WINDOW = 512


@pytest.fixture(scope="module")
def reference() -> PreTrainedModel:
    return reference_model("gemma3-270m")


@pytest.fixture(scope="module")
def model() -> Iterator[headrace.Model]:
    with headrace.load("gemma3-270m") as loaded:
        yield loaded


@pytest.mark.parametrize("prompt", PROMPTS)
def test_greedy_text_is_the_references(
    prompt: str, model: headrace.Model, reference: PreTrainedModel
) -> None:
    assert_same_greedy_text(model, reference, model.tokenizer.encode(prompt))


def test_greedy_text_past_the_window(model: headrace.Model, reference: PreTrainedModel) -> None:
    ids = model.tokenizer.encode(PASSAGE * 16 + PROMPTS[0])
    assert len(ids) > WINDOW
    assert_same_greedy_text(model, reference, ids)


def test_logits_are_near_the_references(
    model: headrace.Model, reference: PreTrainedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    """Eight-bit activations cost little: bounds several times what rounding alone gives."""
    results: list[Comparison] = []
    for prompt in PROMPTS:
        ids = model.tokenizer.encode(prompt)
        ids += greedy(reference, ids, model.artifact.about.stop_tokens)
        results.append(Comparison(model.logits(ids), reference_logits(reference, ids)))
    divergence, agreement, line = table("gemma3-270m", results)
    with capsys.disabled():
        print(line)
    assert divergence < 0.03
    assert agreement > 0.9


def test_float32_logits_are_the_references(reference: PreTrainedModel) -> None:
    """With float32 weights nothing is rounded but sums: 1e-4 of the largest logit."""
    with headrace.load("gemma3-270m", weights="f32") as model:
        ids = model.tokenizer.encode(PROMPTS[0])
        ours, theirs = model.logits(ids), reference_logits(reference, ids)
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()
