"""Products with weights."""

from __future__ import annotations

from typing import Any

from torch.fx import Node

from headrace.frontend.emitter import Emitter
from headrace.frontend.lower.views import PERMUTATIONS, dimension_order
from headrace.frontend.match import same_pair
from headrace.frontend.product import Product
from headrace.frontend.rules import CannotLowerError, Rule, operator, structure
from headrace.frontend.trace import Trace, arguments, aten, is_call, shape_of
from headrace.frontend.values import Value, natural

_MATRIX_PRODUCTS = (aten.matmul.default, aten.mm.default, aten.bmm.default)
_REPEATED = (aten.expand.default, aten.expand_as.default, aten.unsqueeze.default)
_VIEWS = (aten.view.default, aten.reshape.default, aten._unsafe_view.default)


@operator(aten.linear.default)
def linear(trace: Trace, node: Node) -> Rule:
    given = arguments(node)
    return _product(trace, given["input"], given["weight"], given["bias"], is_stored_by_rows=True)


@operator(*_MATRIX_PRODUCTS)
def matmul(trace: Trace, node: Node) -> Rule:
    input, weight = node.args[:2]
    if trace.is_data(weight) and not _is_parameter(trace, weight):
        raise CannotLowerError("a product of two computed tensors that is no attention")
    return _product(trace, input, weight, None, is_stored_by_rows=False)


@operator(aten.addmm.default)
def addmm(trace: Trace, node: Node) -> Rule:
    given = arguments(node)
    if given["beta"] != 1 or given["alpha"] != 1:
        raise CannotLowerError("a product with factors")
    return _product(trace, given["mat1"], given["mat2"], given["self"], is_stored_by_rows=False)


@structure(aten.add.Tensor)
def biased(trace: Trace, node: Node) -> Rule | None:
    """A product, and a bias added to it."""
    for bias, product in same_pair(trace, node, aten.add.Tensor):
        while is_call(bias, *_REPEATED):
            bias = trace.source(bias.args[0])
        name = trace.parameter(bias)
        if name is not None and len(shape_of(bias)) == 1 and _is_product(trace, product):
            return _add_bias(product, name)
    return None


def _is_product(trace: Trace, node: Any) -> bool:
    while is_call(node, *_VIEWS):
        node = trace.source(node.args[0])
    return is_call(node, aten.linear.default, *_MATRIX_PRODUCTS)


def _add_bias(product: Node, bias: str) -> Rule:
    def emit(emitter: Emitter, values: tuple[Value, ...]) -> Value:
        (value,) = values
        with_bias = value.source.with_bias(bias) if isinstance(value.source, Product) else None
        if with_bias is None or value.features != emitter.shape(bias):
            raise CannotLowerError("a bias on something else than a whole product")
        return Value(with_bias, value.axes)

    return Rule((product,), emit)


def _product(trace: Trace, input: Any, weight: Any, bias: Any, *, is_stored_by_rows: bool) -> Rule:
    """`input` times a weight `[rows, cols]`, or one `[cols, rows]`."""
    name, transpose = _matrix(trace, weight, transpose=not is_stored_by_rows)
    added = None if bias is None else _vector(trace, bias)

    def emit(emitter: Emitter, values: tuple[Value, ...]) -> Value:
        (input,) = values
        if not input.is_laid_out(0, 1) or len(input.features) != 1:
            raise CannotLowerError("a product over something else than one vector a token")
        product = Product.of(emitter, input.ssa, name, added, transpose)
        return natural(product, len(input.axes))

    return Rule((input,), emit)


def _is_parameter(trace: Trace, node: Any) -> bool:
    return trace.parameter(_untransposed(trace, node)[0]) is not None


def _untransposed(trace: Trace, node: Any) -> tuple[Any, bool]:
    """The matrix behind transpositions, and whether it is transposed."""
    node, is_transposed = trace.source(node), False
    while _is_transposed(node):
        node, is_transposed = trace.source(node.args[0]), not is_transposed
    return node, is_transposed


def _matrix(trace: Trace, node: Any, *, transpose: bool) -> tuple[str, bool]:
    """The parameter that a weight is, and whether it holds `[cols, rows]`."""
    node, is_transposed = _untransposed(trace, node)
    transpose = transpose != is_transposed
    name = trace.parameter(node)
    if name is None or len(shape_of(node)) != 2:
        raise CannotLowerError(
            "its weight is computed, not a parameter", "compute the weight before the model is made"
        )
    return name, transpose


def _is_transposed(node: Any) -> bool:
    """Whether a node swaps the two dimensions of a matrix."""
    is_permuted = is_call(node, *PERMUTATIONS) and len(shape_of(node)) == 2
    return is_permuted and dimension_order(node) == [1, 0]


def _vector(trace: Trace, node: Any) -> str:
    name = trace.parameter(node)
    if name is None or len(shape_of(node)) != 1:
        raise CannotLowerError(
            "its bias is computed, not a parameter", "compute the bias before the model is made"
        )
    return name
