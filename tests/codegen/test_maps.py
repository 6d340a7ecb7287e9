"""Regions of `step.map` as code, against PyTorch's formulas in float64."""

from __future__ import annotations

import math as python_math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from xdsl.builder import Builder
from xdsl.dialects import arith, math
from xdsl.dialects.builtin import FloatAttr, f32
from xdsl.ir import Block, Operation, SSAValue
from xdsl.rewriter import InsertPoint

from headrace.codegen.maps import LOWERINGS as LOWERINGS_OF_OPERATORS
from headrace.codegen.row_kernels import map_rows
from headrace.ir.program_ops import YieldOp
from headrace.ir.scalars import SCALAR_OPS
from tests.codegen.native import EVERY_LOWERING, TARGETS, Library, body, build

Doubles = NDArray[np.float64]
COUNT = 75

_erf = np.vectorize(python_math.erf, otypes=[np.float64])

OPERATORS: dict[str, tuple[type[Operation], Callable[..., Doubles]]] = {
    "add": (arith.AddfOp, np.add),
    "subtract": (arith.SubfOp, np.subtract),
    "multiply": (arith.MulfOp, np.multiply),
    "divide": (arith.DivfOp, np.divide),
    "maximum": (arith.MaximumfOp, np.maximum),
    "minimum": (arith.MinimumfOp, np.minimum),
    "negate": (arith.NegfOp, np.negative),
    "exp": (math.ExpOp, np.exp),
    "tanh": (math.TanhOp, np.tanh),
    "erf": (math.ErfOp, _erf),
    "absolute": (math.AbsFOp, np.abs),
    "log": (math.LogOp, lambda x: np.log(x)),
    "sqrt": (math.SqrtOp, lambda x: np.sqrt(x)),
}
POSITIVE = {"log", "sqrt"}


class Region:
    """A region that is written operator by operator."""

    def __init__(self, inputs: int) -> None:
        self.block = Block(arg_types=[f32] * inputs)
        self._at = Builder(InsertPoint.at_end(self.block))

    def add(self, kind: type[Operation], *operands: SSAValue) -> SSAValue:
        return self._at.insert(kind(*operands)).results[0]

    def choose(self, comparison: str, x: SSAValue, y: SSAValue) -> SSAValue:
        """x if it compares so to y, else y."""
        holds = self._at.insert(arith.CmpfOp(x, y, comparison)).result
        return self._at.insert(arith.SelectOp(holds, x, y)).result

    def constant(self, value: float) -> SSAValue:
        return self._at.insert(arith.ConstantOp(FloatAttr(value, f32))).result

    def give(self, value: SSAValue) -> Block:
        self._at.insert(YieldOp([value]))
        return self.block


def one_operator(kind: type[Operation]) -> Block:
    region = Region(2 if issubclass(kind, arith.FloatingPointLikeBinaryOperation) else 1)
    return region.give(region.add(kind, *region.block.args))


def silu() -> Block:
    region = Region(1)
    (x,) = region.block.args
    shrunk = region.add(math.ExpOp, region.add(arith.NegfOp, x))
    return region.give(
        region.add(arith.DivfOp, x, region.add(arith.AddfOp, shrunk, region.constant(1)))
    )


def gelu(bend: type[Operation], argument: Callable[[Region, SSAValue], SSAValue]) -> Block:
    region = Region(1)
    (x,) = region.block.args
    bent = region.add(arith.AddfOp, region.add(bend, argument(region, x)), region.constant(1))
    half = region.add(arith.MulfOp, x, region.constant(0.5))
    return region.give(region.add(arith.MulfOp, half, bent))


def tanh_argument(region: Region, x: SSAValue) -> SSAValue:
    cube = region.add(arith.MulfOp, region.add(arith.MulfOp, x, x), x)
    scaled = region.add(arith.MulfOp, cube, region.constant(0.044715))
    total = region.add(arith.AddfOp, x, scaled)
    return region.add(arith.MulfOp, total, region.constant(python_math.sqrt(2 / python_math.pi)))


def erf_argument(region: Region, x: SSAValue) -> SSAValue:
    return region.add(arith.MulfOp, x, region.constant(python_math.sqrt(0.5)))


def chosen(comparison: str) -> Block:
    region = Region(2)
    x, y = region.block.args
    return region.give(region.choose(comparison, x, y))


ORDERS = {
    "oeq": np.equal,
    "ogt": np.greater,
    "oge": np.greater_equal,
    "olt": np.less,
    "ole": np.less_equal,
}

ACTIVATIONS: dict[str, tuple[Callable[[], Block], Callable[[Doubles], Doubles]]] = {
    "silu": (silu, lambda x: x / (1 + np.exp(-x))),
    "gelu_tanh": (
        lambda: gelu(math.TanhOp, tanh_argument),
        lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    ),
    "gelu_erf": (
        lambda: gelu(math.ErfOp, erf_argument),
        lambda x: 0.5 * x * (1 + _erf(x * np.sqrt(0.5))),
    ),
}


@cache
def library(lowering: str) -> Library:
    blocks = {name: one_operator(kind) for name, (kind, _) in OPERATORS.items()}
    blocks |= {name: write() for name, (write, _) in ACTIVATIONS.items()}
    blocks |= {name: chosen(name) for name in ORDERS}

    def write(block: Block) -> Callable[..., None]:
        return lambda e, *rows: map_rows(e, block, rows[:-1], rows[-1], COUNT)

    kernels = [body(name, len(block.args) + 1, write(block)) for name, block in blocks.items()]
    return build(TARGETS[lowering], *kernels)


def run(lowering: str, name: str, *inputs: Doubles) -> Doubles:
    out = np.full(COUNT + 16, np.nan, np.float32)
    library(lowering).call(name, *(each.astype(np.float32) for each in inputs), out)
    assert np.isnan(out[COUNT:]).all()
    return out[:COUNT].astype(np.float64)


@pytest.mark.parametrize("lowering", EVERY_LOWERING)
@pytest.mark.parametrize("name", OPERATORS)
def test_operator(lowering: str, name: str) -> None:
    kind, meaning = OPERATORS[name]
    x, y = np.random.default_rng(1).uniform(-4, 4, (2, COUNT)).astype(np.float32).astype(np.float64)
    binary = issubclass(kind, arith.FloatingPointLikeBinaryOperation)
    inputs = (x, y) if binary else (np.abs(x) if name in POSITIVE else x,)
    assert np.allclose(run(lowering, name, *inputs), meaning(*inputs), rtol=1e-6, atol=6e-7)


@pytest.mark.parametrize("lowering", EVERY_LOWERING)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(lowering: str, name: str) -> None:
    _, meaning = ACTIVATIONS[name]
    near, far = np.linspace(-6, 6, COUNT), np.linspace(-80, 80, COUNT)
    for x in (near, far):
        exact = x.astype(np.float32).astype(np.float64)
        # Half of x times the error of erf (6e-7) or tanh; silu's is relative.
        bound = 4e-7 * np.abs(exact) + 1e-7
        assert (np.abs(run(lowering, name, exact) - meaning(exact)) <= bound).all()


@pytest.mark.parametrize("lowering", EVERY_LOWERING)
@pytest.mark.parametrize("name", ORDERS)
def test_comparison(lowering: str, name: str) -> None:
    x, y = np.random.default_rng(2).integers(-2, 2, (2, COUNT)).astype(np.float64)
    expected = np.where(ORDERS[name](x, y), x, y)
    assert np.array_equal(run(lowering, name, x, y), expected)


def test_every_scalar_operator_of_the_program_has_code() -> None:
    assert {*LOWERINGS_OF_OPERATORS, arith.CmpfOp} == set(SCALAR_OPS)
    tested = {kind for kind, _ in OPERATORS.values()}
    assert {*tested, arith.CmpfOp, arith.SelectOp} == set(SCALAR_OPS)
