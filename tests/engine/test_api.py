"""The Python interface, against transformers on the same files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import headrace
from headrace.errors import HeadraceError, RequestError, SourceError, TokenizerError
from tests.build.cached import save_model

TOKENS = [5, 17, 200, 3, 44, 90, 91, 92]


def reference_logits(directory: Path, ids: list[int]) -> np.ndarray:
    import torch
    from transformers import AutoModelForCausalLM

    reference = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    with torch.no_grad():
        return reference(torch.tensor([ids])).logits[0].numpy()


def test_logits_are_those_of_transformers(model: headrace.Model, tiny: Path) -> None:
    assert np.abs(model.logits(TOKENS) - reference_logits(tiny, TOKENS)).max() < 1e-3


def test_text_is_given_for_text_and_tokens_for_tokens(model: headrace.Model) -> None:
    ids = model.tokenizer.encode("Hello", special=True)
    tokens = list(model.generate(ids, max_tokens=30))
    assert all(isinstance(token, int) for token in tokens)
    assert "".join(model.generate("Hello", max_tokens=30)) == model.tokenizer.decode(tokens)


def test_chat_puts_messages_into_the_template(model: headrace.Model) -> None:
    message = {"role": "user", "content": "Hello"}
    chat = "".join(model.chat([message], max_tokens=30))
    assert chat == "".join(model.generate("Hello", raw=False, max_tokens=30))
    assert chat == "".join(model.generate("<user>Hello<assistant>", max_tokens=30))


def test_text_knows_how_it_ended(model: headrace.Model) -> None:
    answer = model.generate("Hello", max_tokens=12)
    text = "".join(answer)
    assert text
    assert answer.statistics.generated_tokens <= 12
    assert answer.finish_reason in ("length", "stop")


def test_values_are_checked_before_the_first_piece(model: headrace.Model) -> None:
    with pytest.raises(RequestError, match="temperature"):
        model.generate("Hello", temperature=-1)
    with pytest.raises(RequestError, match="no tokens"):
        model.generate("")


def test_a_smaller_context(tiny: Path) -> None:
    with headrace.load(tiny, threads=2, context=16) as model:
        assert model.context == 16
        assert len(list(model.generate(TOKENS, max_tokens=100))) <= 16 - len(TOKENS) + 1


@pytest.mark.parametrize(
    "values",
    [{"context": 0}, {"context": 10**6}, {"threads": 0}, {"threads": 2.0}, {"weights": "q4_0"}],
)
def test_wrong_choices_are_named(tiny: Path, values: dict[str, object]) -> None:
    with pytest.raises(RequestError) as caught:
        headrace.load(tiny, **{"threads": 2, **values})  # pyright: ignore
    assert caught.value.where in values


def test_unknown_sources() -> None:
    with pytest.raises(SourceError, match="no model 'smolm2'"):
        headrace.load("smolm2")
    with pytest.raises(HeadraceError):
        headrace.load("/nowhere/model.gguf")


def test_a_model_without_a_tokenizer_takes_tokens(tmp_path: Path) -> None:
    save_model(tmp_path, seed=1)
    with headrace.load(tmp_path, threads=1) as model:
        assert len(list(model.generate(TOKENS, max_tokens=4))) == 4
        with pytest.raises(TokenizerError) as caught:
            model.generate("Hello")
        assert str(tmp_path) in str(caught.value)


def test_a_module_of_ones_own(tiny: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    module = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    with headrace.compile(module, tokenizer=tiny, threads=2) as model:
        logits = model.logits(TOKENS)
        assert np.abs(logits - reference_logits(tiny, TOKENS)).max() < 1e-3
        assert "".join(model.generate("Hello", max_tokens=5))
    with torch.no_grad():
        module.lm_head.weight.mul_(2)
    with headrace.compile(module, threads=2) as model:
        assert np.allclose(model.logits(TOKENS), 2 * logits, rtol=1e-4, atol=1e-3)
        with pytest.raises(TokenizerError, match="without a tokenizer"):
            model.generate("Hello")


def test_importing_headrace_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    code = "import sys, headrace; print([n for n in ('numpy', 'llvmlite') if n in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
    assert "load" in dir(headrace)
    with pytest.raises(AttributeError, match="nothing"):
        _ = headrace.nothing  # pyright: ignore
