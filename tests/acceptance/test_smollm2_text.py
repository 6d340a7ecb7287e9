"""SmolLM2's text and logits against transformers on the same weights, dequantised to float32."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, PreTrainedModel

import headrace
from headrace.checkpoint.source import resolve

pytestmark = pytest.mark.slow

PROMPTS = (
    "Why is the sky blue?",
    "Write a haiku about rivers.",
    "What is the capital of France, and what is it known for?",
    "Explain how a water wheel works to a child.",
    "Write a Python function that reverses a list.",
)
TOKENS = 64


@dataclass(frozen=True, slots=True)
class Comparison:
    """Logits after the same tokens: ours `[T, V]`, the reference's `[T, V]`."""

    ours: NDArray[np.float32]
    reference: NDArray[np.float32]

    @property
    def noise(self) -> float:
        """The largest difference among the reference's ten likeliest tokens of each position."""
        likeliest = np.argsort(-self.reference, axis=1)[:, :10]
        difference = np.take_along_axis(self.ours - self.reference, likeliest, axis=1)
        return float(np.abs(difference).max())

    @property
    def divergence(self) -> NDArray[np.float64]:
        """KL divergence of our distribution from the reference's, in nats, for each position."""
        mine, theirs = _log_softmax(self.ours), _log_softmax(self.reference)
        return (np.exp(theirs) * (theirs - mine)).sum(axis=1)

    @property
    def agreement(self) -> float:
        """Share of positions at which both hold the same token likeliest."""
        return float((self.ours.argmax(axis=1) == self.reference.argmax(axis=1)).mean())


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


@pytest.fixture(scope="module")
def reference() -> PreTrainedModel:
    path = resolve("smollm2").path
    model = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32
    )
    return model.eval()


@pytest.fixture(scope="module")
def model() -> Iterator[headrace.Model]:
    with headrace.load("smollm2") as loaded:
        yield loaded


def _reference_logits(model: PreTrainedModel, ids: list[int]) -> NDArray[np.float32]:
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].float().numpy()


def _greedy(model: PreTrainedModel, ids: list[int], stops: tuple[int, ...]) -> list[int]:
    with torch.no_grad():
        out = model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            max_new_tokens=TOKENS,
            do_sample=False,
            eos_token_id=list(stops),
            pad_token_id=stops[0],
        )
    produced = out[0, len(ids) :].tolist()
    return [token for token in produced if token not in stops]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_greedy_text_is_the_references(
    prompt: str, model: headrace.Model, reference: PreTrainedModel
) -> None:
    """Equal, or first different where the reference itself is undecided within the noise."""
    ids = model.tokenizer.encode_chat([{"role": "user", "content": prompt}])
    stops = model.artifact.about.stop_tokens
    ours = list(model.generate(ids, max_tokens=TOKENS))
    theirs = _greedy(reference, ids, stops)
    if ours == theirs:
        return
    pairs = zip(ours, theirs, strict=False)
    same = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(ours), len(theirs)))
    context = ids + theirs[:same]
    comparison = Comparison(model.logits(context), _reference_logits(reference, context))
    last = comparison.reference[-1]
    mine = ours[same] if same < len(ours) else stops[0]
    other = theirs[same] if same < len(theirs) else stops[0]
    assert float(last[other] - last[mine]) < comparison.noise


def test_logits_are_near_the_references(
    model: headrace.Model, reference: PreTrainedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    """Eight-bit activations cost little: bounds several times what rounding alone gives."""
    results: list[Comparison] = []
    for prompt in PROMPTS:
        ids = model.tokenizer.encode_chat([{"role": "user", "content": prompt}])
        ids += _greedy(reference, ids, model.artifact.about.stop_tokens)
        results.append(Comparison(model.logits(ids), _reference_logits(reference, ids)))
    largest = max(float(np.abs(each.ours - each.reference).max()) for each in results)
    divergence = np.concatenate([each.divergence for each in results])
    agreement = float(np.mean([each.agreement for each in results]))
    with capsys.disabled():
        print(
            f"\nsmollm2, weights as stored, 8-bit activations, {len(divergence)} positions:"
            f" largest logit difference {largest:.2f}, mean KL {divergence.mean():.4f} nats,"
            f" 99th percentile {np.percentile(divergence, 99):.4f},"
            f" top-1 agreement {agreement:.3f},"
            f" noise among the likeliest {max(each.noise for each in results):.2f}"
        )
    assert divergence.mean() < 0.03
    assert agreement > 0.9


def test_float32_logits_are_the_references(reference: PreTrainedModel) -> None:
    """With float32 weights nothing is rounded but sums: 1e-4 of the largest logit."""
    with headrace.load("smollm2", weights="f32") as model:
        ids = model.tokenizer.encode_chat([{"role": "user", "content": PROMPTS[0]}])
        ours, theirs = model.logits(ids), _reference_logits(reference, ids)
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()
