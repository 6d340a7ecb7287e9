"""SmolLM2's text and logits against transformers on the same weights, dequantised to float32."""

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

PROMPTS = (
    "Why is the sky blue?",
    "Write a haiku about rivers.",
    "What is the capital of France, and what is it known for?",
    "Explain how a water wheel works to a child.",
    "Write a Python function that reverses a list.",
)


@pytest.fixture(scope="module")
def reference() -> PreTrainedModel:
    return reference_model("smollm2")


@pytest.fixture(scope="module")
def model() -> Iterator[headrace.Model]:
    with headrace.load("smollm2") as loaded:
        yield loaded


def _chat(model: headrace.Model, prompt: str) -> list[int]:
    return model.tokenizer.encode_chat([{"role": "user", "content": prompt}])


@pytest.mark.parametrize("prompt", PROMPTS)
def test_greedy_text_is_the_references(
    prompt: str, model: headrace.Model, reference: PreTrainedModel
) -> None:
    assert_same_greedy_text(model, reference, _chat(model, prompt))


def test_logits_are_near_the_references(
    model: headrace.Model, reference: PreTrainedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    """Eight-bit activations cost little: bounds several times what rounding alone gives."""
    results: list[Comparison] = []
    for prompt in PROMPTS:
        ids = _chat(model, prompt)
        ids += greedy(reference, ids, model.artifact.about.stop_tokens)
        results.append(Comparison(model.logits(ids), reference_logits(reference, ids)))
    divergence, agreement, line = table("smollm2", results)
    with capsys.disabled():
        print(line)
    assert divergence < 0.03
    assert agreement > 0.9


def test_float32_logits_are_the_references(reference: PreTrainedModel) -> None:
    """With float32 weights nothing is rounded but sums: 1e-4 of the largest logit."""
    with headrace.load("smollm2", weights="f32") as model:
        ids = _chat(model, PROMPTS[0])
        ours, theirs = model.logits(ids), reference_logits(reference, ids)
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()
