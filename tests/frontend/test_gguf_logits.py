"""Programs captured from GGUF files compute transformers' logits, prefilled and token by token."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.checkpoint.source import Source
from tests.frontend.gguf_cases import CASES, WINDOW, Case
from tests.frontend.gguf_converter import convert
from tests.frontend.models import (
    assert_close,
    capture,
    interpreted_logits,
    random_ids,
    reference_logits,
)
from tests.frontend.test_gguf_architectures import random_model

LENGTH = 2 * WINDOW + 2
# One of each way in which tensors are changed; `-m slow` has the others.
QUICK = {"gemma2", "phi4", "stablelm-12b", "gpt2", "falcon-40b"}


def marked(case: Case) -> object:
    marks = () if case.name in QUICK else pytest.mark.slow
    return pytest.param(case, id=case.name, marks=marks)


@pytest.mark.parametrize("case", [marked(case) for case in CASES])
def test_logits(case: Case, tmp_path: Path) -> None:
    model = random_model(case)
    path = convert(model, tmp_path / "m.gguf", case.architecture)
    captured, interpreter = capture(Source("gguf", path, case.name))
    ids = random_ids(LENGTH, captured.vocabulary)
    ours = interpreted_logits(interpreter, ids, WINDOW + 2)
    assert_close(ours, reference_logits(model, ids))
    assert captured.stop_tokens == (7, 9)
