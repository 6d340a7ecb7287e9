"""Greedy text of tiny models converted to GGUF F32: native, and as transformers generates it."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

import headrace
from tests.frontend.gguf_cases import CASES, CONTEXT, WINDOW, Case
from tests.frontend.gguf_converter import convert
from tests.frontend.models import random_ids
from tests.frontend.test_gguf_architectures import random_model

PROMPT, TOKENS = WINDOW + 3, 24
STOPS = (7, 9)
QUICK = {"llama3", "gemma3"}


def marked(case: Case) -> object:
    marks = () if case.name in QUICK else pytest.mark.slow
    return pytest.param(case, id=case.name, marks=marks)


def greedy(model: PreTrainedModel, ids: list[int]) -> list[int]:
    produced = list(ids)
    with torch.no_grad():
        for _ in range(TOKENS):
            produced.append(int(model(torch.tensor([produced])).logits[0, -1].argmax()))
    return list(takewhile(lambda token: token not in STOPS, produced[len(ids) :]))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("case", [marked(case) for case in CASES])
def test_greedy_text_is_the_float_models(case: Case, tmp_path: Path) -> None:
    original = random_model(case)
    path = convert(original, tmp_path / "m.gguf", case.architecture)
    ids = random_ids(PROMPT, 90).tolist()
    with headrace.load(path, context=CONTEXT, threads=1) as model:
        ours = list(model.generate(ids, max_tokens=TOKENS))
    assert ours == greedy(original, ids)
