from __future__ import annotations

import pytest
from xdsl.dialects.builtin import ModuleOp

from headrace.errors import ProgramError
from headrace.formats.storage import storage_format
from headrace.ir.attention_ops import AppendOp
from headrace.ir.dialect import parse_program, print_program, step_context
from headrace.ir.model_ops import LinearOp
from headrace.ir.program_ops import WeightOp
from headrace.ir.types import WeightType
from headrace.passes.choose_formats import ChooseFormatsPass
from tests.passes.decoder import Decoder, captured


def chosen(format: str, weights: str) -> ModuleOp:
    module = captured(Decoder(family="qwen2", format=format))
    ChooseFormatsPass(weights).apply(step_context(), module)
    module.verify()
    return parse_program(print_program(module))


def formats(module: ModuleOp, dimensions: int) -> set[str]:
    types = [op.result.type for op in module.walk() if isinstance(op, WeightOp)]
    found = [each for each in types if isinstance(each, WeightType)]
    return {each.format.data for each in found if len(each.shape) == dimensions}


CHOSEN = {"q8": "q8_0", "q4": "q4_0"}
STORED = ["f32", "f16", "bf16", "q4_0", "q4_1", "q8_0", "q6_k", "int4_g128_bf16z", "f8_g128"]


@pytest.mark.parametrize("format", STORED)
@pytest.mark.parametrize("weights", ["auto", "f32", "bf16", "q8", "q4"])
def test_formats(format: str, weights: str) -> None:
    module = chosen(format, weights)
    want = format if weights == "auto" else CHOSEN.get(weights, weights)
    assert formats(module, 2) == {want}
    assert formats(module, 1) == {"f32"}
    activations = {op.activation.data for op in module.walk() if isinstance(op, LinearOp)}
    assert activations == {"q8" if storage_format(want).integer else "f32"}
    entries = {op.format.data for op in module.walk() if isinstance(op, AppendOp)}
    assert entries == {"f32" if want == "f32" else "f16"}


def test_an_unknown_choice_is_an_error() -> None:
    with pytest.raises(ProgramError, match="no choice of weights 'q2'"):
        chosen("f32", "q2")


def test_rows_need_no_whole_blocks() -> None:
    module = captured(Decoder(hidden=48, heads=3, kv_heads=1))
    ChooseFormatsPass("q4").apply(step_context(), module)
    assert formats(module, 2) == {"q4_0"}


@pytest.mark.parametrize("kv", ["f32", "f16", "bf16", "q8"])
def test_kv_entries_have_the_chosen_format(kv: str) -> None:
    module = captured(Decoder(family="qwen2", format="f16"))
    ChooseFormatsPass("auto", kv).apply(step_context(), module)
    appends = [op for op in module.walk() if isinstance(op, AppendOp)]
    assert {op.format.data for op in appends if op.format is not None} == {kv}
