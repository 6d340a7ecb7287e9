"""Layers that rotate nothing, made like those that do: turned by angles of zero, which is exact."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from xdsl.builder import Builder
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.rewriter import InsertPoint

from headrace.ir.attention_ops import AppendOp, AttentionOp, RopeOp
from headrace.ir.program_ops import FrequenciesOp
from headrace.passes.programs import program_of

_TABLE = "still"


@dataclass(frozen=True, slots=True)
class _Use:
    """A query or key where a layer uses it: an operand of its attention, or of its append."""

    user: AttentionOp | AppendOp
    index: int
    append: AppendOp

    @property
    def value(self) -> SSAValue:
        return self.user.operands[self.index]

    @property
    def rope(self) -> RopeOp | None:
        owner = self.value.owner
        return owner if isinstance(owner, RopeOp) else None


def turn_still_layers(module: ModuleOp) -> None:
    """Where some layers of a straight program rotate queries and keys, let all of them do it.

    Those that did not take a table of zero frequencies (@still). Rotations then stand before
    their layer's append, so that layers are alike. Nothing is done where all layers rotate, or
    none does, or rotations differ in style, number of frequencies or type.
    """
    uses = list(_uses(module))
    sizes = table_sizes(module)
    roped = [use for use in uses if use.rope is not None]
    still = [use for use in uses if use.rope is None]
    if not roped or not still or not _are_alike(roped, still, sizes):
        return
    model = roped[0].rope
    assert model is not None
    zeros = FrequenciesOp(_TABLE, [0.0] * sizes[model.table_names()[0]])
    Builder(InsertPoint.before(program_of(module))).insert(zeros)
    for use in uses:
        _turn_before_append(use, model)


def table_sizes(module: ModuleOp) -> dict[str, int]:
    """The number of frequencies of each rotary table."""
    return {
        op.sym_name.data: len(op.values.data) for op in module.ops if isinstance(op, FrequenciesOp)
    }


def _uses(module: ModuleOp) -> Iterator[_Use]:
    """The queries and keys of the program's straight layers, each query before its key."""
    for op in program_of(module).block.ops:
        if isinstance(op, AttentionOp) and isinstance(op.cache.owner, AppendOp):
            yield _Use(op, op.operands.index(op.query), op.cache.owner)
            yield _Use(op.cache.owner, 0, op.cache.owner)


def _are_alike(roped: Sequence[_Use], still: Sequence[_Use], sizes: Mapping[str, int]) -> bool:
    kinds = {(rope.style, sizes.get(rope.table_names()[0])) for use in roped if (rope := use.rope)}
    types = {use.value.type for use in roped}
    return len(kinds) == 1 and _TABLE not in sizes and all(u.value.type in types for u in still)


def _turn_before_append(use: _Use, model: RopeOp) -> None:
    before = Builder(InsertPoint.before(use.append))
    rope = use.rope
    if rope is None:
        still = RopeOp(use.value, model.positions, [_TABLE])
        still.style = model.style
        use.user.operands[use.index] = before.insert(still).result
    elif len(list(rope.result.uses)) == 1:
        rope.detach()
        before.insert(rope)
