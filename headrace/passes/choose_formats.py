"""choose-formats: how weights, activations at products, and KV entries are stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from headrace.errors import ProgramError, UnsupportedFormatError
from headrace.formats.entries import ENTRY_FORMATS
from headrace.formats.storage import storage_format
from headrace.ir.attention_ops import AppendOp
from headrace.ir.model_ops import LinearOp
from headrace.ir.program_ops import WeightOp
from headrace.ir.types import WeightType
from headrace.passes.programs import program_of, row_sources
from headrace.passes.weight_types import is_integer, weight_type

#: What may be chosen, and the format that matrices get; None keeps each one's own.
CHOICES = {"auto": None, "f32": "f32", "bf16": "bf16", "q8": "q8_0", "q4": "q4_0"}

#: What may be chosen for KV entries; "auto" is f32 where every matrix is, else f16.
KV_CHOICES = ("auto", *ENTRY_FORMATS)

#: Holds the values of every format exactly.
EXACT = "f32"


@dataclass(frozen=True)
class ChooseFormatsPass(ModulePass):
    """Choose a storage format for each weight, each product's input, and the KV cache.

    weights: "auto" keeps what is stored, with one exception: keys and values that are appended
        together come from one stage, whose input has one form, so where one of their weights is
        of integers and the other is not, that of integers becomes f32, which holds its values
        exactly. "f32", "bf16", "q8" or "q4" (8 or 4 bits, a scale for 32 columns) is taken for
        all matrices.
    kv: how KV entries are stored: "auto" is "f32" where every matrix is, else "f16"; "f32", "f16",
        "bf16" and "q8" are as `headrace.formats.entries` defines them.

    Before: weights have the formats in which the checkpoint stores them.
    After: matrices have the chosen format, vectors (norms, biases) f32. `activation` of a linear
        is "q8" where its weight is of integers, else "f32". `format` of an append is as chosen.
    Leaves alone: the operators and their order.

    Raises:
        ProgramError: an unknown choice or format.
    """

    name = "choose-formats"

    weights: str = "auto"
    kv: str = "auto"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        _check("weights", self.weights, CHOICES)
        _check("KV entries", self.kv, KV_CHOICES)
        ops = tuple(program_of(op).walk())
        weights = [each for each in ops if isinstance(each, WeightOp)]
        for weight in weights:
            _set_format(weight, _chosen(weight, self.weights))
        _agree_on_appended(ops)
        entries = _entry_format(weights) if self.kv == "auto" else self.kv
        for each in ops:
            if isinstance(each, LinearOp):
                each.activation = StringAttr(_activation(each.weight))
            elif isinstance(each, AppendOp):
                each.format = StringAttr(entries)


def _check(what: str, choice: str, known: Iterable[str]) -> None:
    if choice not in known:
        raise ProgramError(
            f"there is no choice of {what} '{choice}'",
            where="choose-formats",
            hint=f"one of {', '.join(known)}",
        )


def _is_matrix(weight: WeightOp) -> bool:
    return len(weight_type(weight.result).shape) >= 2


def _chosen(weight: WeightOp, choice: str) -> str:
    stored = weight_type(weight.result).format.data
    try:
        storage_format(stored)
    except UnsupportedFormatError as error:
        where = f"weight {weight.weight_name.data!r}"
        raise ProgramError(error.what, where=where, hint=error.hint) from error
    if not _is_matrix(weight):
        return "f32"
    return CHOICES[choice] or stored


def _set_format(weight: WeightOp, format: str) -> None:
    old = weight_type(weight.result)
    if old.format.data != format:
        Rewriter.replace_value_with_new_type(weight.result, WeightType.of(old.shape, format))


def _agree_on_appended(ops: Sequence[Operation]) -> None:
    """Let the products behind one append take their input in one form."""
    sources = row_sources(ops)
    for op in ops:
        if isinstance(op, AppendOp):
            owners = [linear.weight.owner for linear in sources.get(op.cache, ())]
            weights = [owner for owner in owners if isinstance(owner, WeightOp)]
            integers = [each for each in weights if is_integer(each.result)]
            if len(integers) < len(weights):
                for weight in integers:
                    _set_format(weight, EXACT)


def _activation(weight: SSAValue) -> str:
    return "q8" if is_integer(weight) else "f32"


def _entry_format(weights: Sequence[WeightOp]) -> str:
    matrices = (weight_type(each.result) for each in weights if _is_matrix(each))
    return "f32" if all(each.format.data == "f32" for each in matrices) else "f16"
