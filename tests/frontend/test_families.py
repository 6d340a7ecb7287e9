"""Every family: the captured program has the structure it should and gives transformers' logits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from xdsl.dialects.builtin import ModuleOp

from headrace.frontend.capture import Captured, capture_module
from headrace.ir.attention_ops import AppendOp, AttentionOp, RopeOp
from headrace.ir.dialect import parse_program, print_program
from headrace.ir.interpreter import Interpreter
from headrace.ir.model_ops import NormOp
from headrace.ir.program_ops import FrequenciesOp, WeightOp
from headrace.ir.shapes import features_of
from tests.frontend.models import (
    FAMILIES,
    WINDOW,
    assert_close,
    capture,
    family,
    interpreted_logits,
    random_ids,
    random_model,
    reference_logits,
    save_directory,
    save_gguf,
)

LENGTH = 3 * WINDOW


def counts(module: ModuleOp) -> Counter[str]:
    """How many operators of the dialect there are, inside the program."""
    return Counter(op.name for op in module.walk() if op.name.startswith("step."))


Saved = Callable[[str], tuple[Captured, Interpreter]]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """A family's model, saved as a directory and captured from it, once."""

    @cache
    def captured(name: str) -> tuple[Captured, Interpreter]:
        directory = tmp_path_factory.mktemp(name)
        return capture(save_directory(random_model(family(name)), directory))

    return captured


@pytest.mark.parametrize("name", FAMILIES)
def test_directory_gives_the_logits_of_transformers(name: str, saved: Saved) -> None:
    model = random_model(family(name))
    _, interpreter = saved(name)
    ids = random_ids(LENGTH)
    assert_close(interpreted_logits(interpreter, ids, WINDOW // 2), reference_logits(model, ids))


@pytest.mark.parametrize("name", FAMILIES)
def test_gguf_gives_the_logits_of_transformers(name: str, tmp_path: Path) -> None:
    model = random_model(family(name))
    captured, interpreter = capture(save_gguf(model, tmp_path / "tiny.gguf", name))
    ids = random_ids(LENGTH)
    assert_close(interpreted_logits(interpreter, ids, LENGTH - 3), reference_logits(model, ids))
    assert captured.vocabulary == 101
    assert captured.stop_tokens == (7, 9)


@pytest.mark.parametrize("name", FAMILIES)
def test_loaded_model_gives_its_own_logits(name: str) -> None:
    model = random_model(family(name))
    before = model.config._attn_implementation
    captured = capture_module(model)
    assert model.config._attn_implementation == before
    interpreter = Interpreter(captured.module, lambda weight: captured.weights[weight])
    ids = random_ids(LENGTH)
    assert_close(interpreted_logits(interpreter, ids, LENGTH), reference_logits(model, ids))


@pytest.mark.parametrize("name", FAMILIES)
def test_text_round_trips(name: str, saved: Saved) -> None:
    captured, _ = saved(name)
    text = print_program(captured.module)
    assert print_program(parse_program(text)) == text


def test_llama_layer_has_no_operator_too_many(saved: Saved) -> None:
    captured, _ = saved("llama")
    layers = 2
    found = counts(captured.module)
    assert found["step.linear"] == 7 * layers + 1
    assert found["step.norm"] == 2 * layers + 1
    assert found["step.map"] == 3 * layers
    assert found["step.reshape"] == 4 * layers
    assert found["step.rope"] == 2 * layers
    assert found["step.select"] == found["step.sample"] == found["step.embedding"] == 1
    assert found["step.frequencies"] == 1


def test_select_comes_before_the_last_norm(saved: Saved) -> None:
    captured, _ = saved("llama")
    names = [op.name for op in captured.module.walk() if op.name != "step.weight"]
    assert names[-5:] == ["step.select", "step.norm", "step.linear", "step.sample", "step.return"]


def test_tied_head_uses_the_embedding_table(saved: Saved) -> None:
    captured, _ = saved("qwen2")
    weights = [op.weight_name.data for op in captured.module.walk() if isinstance(op, WeightOp)]
    assert weights.count("model.embed_tokens.weight") == 1
    assert "lm_head.weight" not in captured.bindings


def test_qwen2_has_biases_and_qwen3_norms_its_heads(saved: Saved) -> None:
    qwen2, _ = saved("qwen2")
    assert " bias %q_proj_bias" in print_program(qwen2.module)
    qwen3, _ = saved("qwen3")
    shapes = [features_of(op.input) for op in qwen3.module.walk() if isinstance(op, NormOp)]
    assert (4, 32) in shapes
    assert (2, 32) in shapes


def test_gemma3_has_two_tables_windows_and_offset_norms(saved: Saved) -> None:
    captured, _ = saved("gemma3")
    ops = list(captured.module.walk())
    windows = [op.windows.data[0] for op in ops if isinstance(op, AttentionOp)]
    assert windows == [WINDOW] * 5 + [0, WINDOW]
    tables = [op.table_names()[0] for op in ops if isinstance(op, RopeOp)]
    assert tables == ["rope0"] * 10 + ["rope1"] * 2 + ["rope0"] * 2
    assert len([op for op in ops if isinstance(op, FrequenciesOp)]) == 2
    assert {op.offset.only for op in ops if isinstance(op, NormOp)} == {1.0}
    assert [op.layers.data for op in ops if isinstance(op, AppendOp)] == [(i,) for i in range(7)]


def test_stored_formats_are_the_weights_types(tmp_path: Path) -> None:
    model = random_model(family("llama"))
    captured, _ = capture(save_directory(model.bfloat16(), tmp_path))
    assert '!step.weight<[64, 64], "bf16">' in print_program(captured.module)


def test_gemma3_norms_are_float32_however_they_are_stored(tmp_path: Path) -> None:
    captured, _ = capture(save_gguf(random_model(family("gemma3")), tmp_path / "g.gguf", "gemma3"))
    norms = [op.weight.type for op in captured.module.walk() if isinstance(op, NormOp)]
    assert {norm.format.data for norm in norms} == {"f32"}


def test_soft_capped_logits(tmp_path: Path) -> None:
    model = random_model(family("gemma3", final_logit_softcapping=2.0))
    _, interpreter = capture(save_directory(model, tmp_path))
    ids = random_ids(5)
    assert_close(interpreted_logits(interpreter, ids, 5), reference_logits(model, ids))
