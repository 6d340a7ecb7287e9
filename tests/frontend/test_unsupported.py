"""What cannot be lowered is named, all of it, with the module it is in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from headrace.errors import UnsupportedModelError, UnsupportedOperatorError
from headrace.frontend.capture import capture_module
from tests.frontend.models import capture, family, random_model, save_directory
from tests.frontend.test_own_modules import CONTEXT, WIDTH, Decoder


def refusal(module: nn.Module) -> UnsupportedOperatorError:
    with pytest.raises(UnsupportedOperatorError) as caught:
        capture_module(module.eval(), CONTEXT)
    return caught.value


class Softmax(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cumsum(x.softmax(-1), -1)


def test_all_operators_are_named_with_their_modules() -> None:
    module = Decoder()
    module.down = nn.Sequential(module.down, Softmax())
    error = refusal(module)
    assert "aten.softmax.int in down.1" in str(error)
    assert "aten.cumsum.default in down.1" in str(error)
    assert error.where == "down.1"
    assert error.hint


def test_the_same_operator_in_many_modules_is_one_line() -> None:
    module = Decoder()
    module.down = nn.Sequential(module.down, *(Softmax() for _ in range(3)))
    assert "aten.softmax.int in down.{1-3}: " in str(refusal(module))


def test_what_lies_behind_a_refusal_is_found_too() -> None:
    """Some are seen in the graph alone, some only where values meet; in the order of a step."""

    def interleaved(x: Tensor) -> Tensor:
        return (x * F.silu(x)).view(1, -1, 2, WIDTH).transpose(2, 3).flatten(2)

    module = Decoder(activation=interleaved)
    module.norm = nn.Sequential(module.norm, Softmax())
    error = refusal(module)
    lines = error.what.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [
        "aten.softmax.int",
        "aten.cumsum.default",
        "aten.flatten.using_ints",
    ]
    assert error.where == "norm.1"


def test_an_operator_with_several_results_is_named_itself() -> None:
    module = Decoder(activation=lambda x: torch.topk(x, 64)[0])
    error = refusal(module)
    assert "aten.topk.default" in str(error)
    assert "getitem" not in str(error)


def reflected(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos + second * sin, first * sin - second * cos], -1)


def test_other_rotations() -> None:
    error = refusal(Decoder(reflected))
    assert "attention" in str(error)
    assert "rota" in str(error)


def test_attention_that_sees_the_future() -> None:
    def bidirectional(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=True)

    assert "not causal" in str(refusal(Decoder(attend=bidirectional)))


def test_dropout_in_training_mode() -> None:
    with pytest.raises(UnsupportedOperatorError, match=r"aten.dropout.default in dropout"):
        capture_module(Decoder().train(), CONTEXT)


def test_last_token_only() -> None:
    class LastToken(Decoder):
        def forward(self, ids: Tensor) -> Tensor:
            return super().forward(ids)[:, -1:]

    assert "aten.slice.Tensor" in str(refusal(LastToken()))


def test_arithmetic_on_the_ids() -> None:
    class Shifted(Decoder):
        def forward(self, ids: Tensor) -> Tensor:
            return super().forward(ids + 1)

    assert "arithmetic on integers" in str(refusal(Shifted()))


def test_heads_repeated_in_another_order() -> None:
    def tiled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        batch, heads, tokens, head = k.shape
        k, v = (
            each[:, None].expand(batch, 2, heads, tokens, head).reshape(batch, -1, tokens, head)
            for each in (k, v)
        )
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    assert "reorders features" in str(refusal(Decoder(attend=tiled)))


def test_code_that_looks_at_the_ids() -> None:
    class DataDependent(Decoder):
        def forward(self, ids: Tensor) -> Tensor:
            return super().forward(ids if ids.max() > 3 else ids + 1)

    with pytest.raises(UnsupportedModelError, match=r"torch\.export cannot capture"):
        capture_module(DataDependent().eval(), CONTEXT)


def test_bidirectional_transformers(tmp_path: Path) -> None:
    model = random_model(family("gemma3", use_bidirectional_attention=True))
    with pytest.raises(UnsupportedOperatorError, match="not causal"):
        capture(save_directory(model, tmp_path))
