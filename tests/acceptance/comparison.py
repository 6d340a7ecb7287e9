"""A model's text and logits beside transformers' on the same weights, dequantised to float32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, PreTrainedModel

import headrace
from headrace.checkpoint.source import resolve

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


def reference_model(name: str) -> PreTrainedModel:
    """transformers' own reading of the file."""
    path = resolve(name).path
    model = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32
    )
    return model.eval()


def reference_logits(model: PreTrainedModel, ids: list[int]) -> NDArray[np.float32]:
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].float().numpy()


def greedy(model: PreTrainedModel, ids: list[int], stops: tuple[int, ...]) -> list[int]:
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


def assert_same_greedy_text(
    model: headrace.Model, reference: PreTrainedModel, ids: list[int]
) -> None:
    """Equal, or first different where the reference itself is undecided within the noise."""
    stops = model.artifact.about.stop_tokens
    ours = list(model.generate(ids, max_tokens=TOKENS))
    theirs = greedy(reference, ids, stops)
    if ours == theirs:
        return
    pairs = zip(ours, theirs, strict=False)
    same = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(ours), len(theirs)))
    context = ids + theirs[:same]
    comparison = Comparison(model.logits(context), reference_logits(reference, context))
    last = comparison.reference[-1]
    mine = ours[same] if same < len(ours) else stops[0]
    other = theirs[same] if same < len(theirs) else stops[0]
    assert float(last[other] - last[mine]) < comparison.noise


def table(name: str, results: list[Comparison]) -> tuple[float, float, str]:
    """Mean divergence, agreement, and a line that reports both and more."""
    largest = max(float(np.abs(each.ours - each.reference).max()) for each in results)
    divergence = np.concatenate([each.divergence for each in results])
    agreement = float(np.mean([each.agreement for each in results]))
    line = (
        f"\n{name}, weights as stored, 8-bit activations, {len(divergence)} positions:"
        f" largest logit difference {largest:.2f}, mean KL {divergence.mean():.4f} nats,"
        f" 99th percentile {np.percentile(divergence, 99):.4f},"
        f" top-1 agreement {agreement:.3f},"
        f" noise among the likeliest {max(each.noise for each in results):.2f}"
    )
    return float(divergence.mean()), agreement, line
