"""Every scalar operator of map regions against PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from xdsl.builder import Builder
from xdsl.dialects import arith, math
from xdsl.dialects.builtin import FloatAttr, f32
from xdsl.ir import Block, Operation
from xdsl.rewriter import InsertPoint

from headrace.ir.interpreter.scalars import ELEMENTWISE, run_map
from headrace.ir.program_ops import YieldOp
from headrace.ir.scalars import SCALAR_OPS

EXPECTED: dict[type[Operation], Callable[..., torch.Tensor]] = {
    arith.AddfOp: torch.add,
    arith.SubfOp: torch.sub,
    arith.MulfOp: torch.mul,
    arith.DivfOp: torch.div,
    arith.NegfOp: torch.neg,
    arith.MaximumfOp: torch.maximum,
    arith.MinimumfOp: torch.minimum,
    math.AbsFOp: torch.abs,
    math.ErfOp: torch.erf,
    math.ExpOp: torch.exp,
    math.LogOp: torch.log,
    math.SqrtOp: torch.sqrt,
    math.TanhOp: torch.tanh,
}
ORDERS = {"oeq": torch.eq, "ogt": torch.gt, "oge": torch.ge, "olt": torch.lt, "ole": torch.le}
BINARY = (
    arith.AddfOp,
    arith.SubfOp,
    arith.MulfOp,
    arith.DivfOp,
    arith.MaximumfOp,
    arith.MinimumfOp,
)


def block_of(op_type: type[Operation], operands: int) -> Block:
    block = Block(arg_types=[f32] * operands)
    builder = Builder(InsertPoint.at_end(block))
    builder.insert(YieldOp([builder.insert(op_type(*block.args)).results[0]]))
    return block


@pytest.mark.parametrize("op_type", list(EXPECTED))
def test_an_operator_is_that_of_pytorch(op_type: type[Operation]) -> None:
    count = 2 if op_type in BINARY else 1
    rng = np.random.default_rng(0)
    inputs = [rng.uniform(0.01, 4, (3, 5)).astype(np.float32) for _ in range(count)]
    result = run_map(block_of(op_type, count), inputs)
    expected = EXPECTED[op_type](*map(torch.from_numpy, inputs))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected.numpy(), rtol=1e-5, atol=1e-6)


def test_a_constant_fills_the_result() -> None:
    block = Block(arg_types=[f32])
    builder = Builder(InsertPoint.at_end(block))
    builder.insert(YieldOp([builder.insert(arith.ConstantOp(FloatAttr(0.5, f32))).result]))
    result = run_map(block, [np.ones((2, 3), np.float32)])
    np.testing.assert_array_equal(result, np.full((2, 3), 0.5, np.float32))


def test_the_interpreter_knows_all_that_is_legal() -> None:
    assert {*ELEMENTWISE, arith.CmpfOp} == set(SCALAR_OPS)
    assert {*EXPECTED, arith.CmpfOp, arith.SelectOp} == set(SCALAR_OPS)


@pytest.mark.parametrize(("name", "compare"), ORDERS.items())
def test_a_comparison_chooses(name: str, compare: Callable[..., torch.Tensor]) -> None:
    block = Block(arg_types=[f32] * 2)
    builder = Builder(InsertPoint.at_end(block))
    holds = builder.insert(arith.CmpfOp(*block.args, name)).result
    builder.insert(YieldOp([builder.insert(arith.SelectOp(holds, *block.args)).result]))
    inputs = np.array([[1, 2, 2, np.nan], [2, 1, 2, 1]], np.float32)
    x, y = map(torch.from_numpy, inputs)
    expected = torch.where(compare(x, y), x, y).numpy()
    np.testing.assert_array_equal(run_map(block, list(inputs)), expected)
