"""The `step` dialect and the context in which programs are parsed."""

from __future__ import annotations

from xdsl.context import Context
from xdsl.dialects.arith import Arith
from xdsl.dialects.builtin import Builtin, ModuleOp
from xdsl.dialects.math import Math
from xdsl.ir import Dialect
from xdsl.parser import Parser
from xdsl.printer import Printer

from headrace.ir.literals import IntsAttr, RealsAttr
from headrace.ir.mapping_ops import MAPPING_OPS
from headrace.ir.model_ops import MODEL_OPS
from headrace.ir.types import BufferAttr, CacheType, RunAttr, ShardAttr, TokenAttr, WeightType

Step = Dialect(
    "step",
    [*MODEL_OPS, *MAPPING_OPS],
    [IntsAttr, RealsAttr, WeightType, CacheType, ShardAttr, TokenAttr, BufferAttr, RunAttr],
)


def load_dialects(context: Context) -> None:
    """Load the dialects that programs are made of."""
    for dialect in (Builtin, Arith, Math, Step):
        context.load_dialect(dialect)


def step_context() -> Context:
    """A context with the dialects that programs are made of."""
    context = Context()
    load_dialects(context)
    return context


def parse_program(text: str, name: str = "<text>") -> ModuleOp:
    """Parse and verify a module in textual form."""
    module = Parser(step_context(), text, name).parse_module()
    module.verify()
    return module


def print_program(module: ModuleOp) -> str:
    """A module's textual form; `parse_program` reads it back."""
    from io import StringIO

    stream = StringIO()
    Printer(stream).print_op(module)
    return stream.getvalue() + "\n"
