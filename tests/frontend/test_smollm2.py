"""The default model itself: its program's logits are those of transformers with its weights."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from headrace.checkpoint.binding import bind
from headrace.checkpoint.source import open_checkpoint, resolve
from headrace.frontend.gguf_config import gguf_config
from tests.frontend.models import (
    assert_close,
    capture,
    interpreted_logits,
    random_ids,
    reference_logits,
)

pytestmark = pytest.mark.slow


def test_logits_of_smollm2() -> None:
    source = resolve("smollm2")
    captured, interpreter = capture(source)
    checkpoint = open_checkpoint(source)
    model = AutoModelForCausalLM.from_config(gguf_config(checkpoint), dtype=torch.float32).eval()
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, binding in captured.bindings.items():
            parameters[name].copy_(torch.from_numpy(bind(checkpoint, binding).dequantise().copy()))
    ids = random_ids(12, captured.vocabulary)
    assert_close(interpreted_logits(interpreter, ids, 10), reference_logits(model, ids))


def test_facts_of_smollm2() -> None:
    captured, _ = capture(resolve("smollm2"))
    assert (captured.vocabulary, captured.context, captured.stop_tokens) == (49152, 8192, (2,))
    attentions = [op for op in captured.module.walk() if op.name == "step.attention"]
    assert len(attentions) == 30
