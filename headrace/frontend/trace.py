"""What there is to know about the nodes of an exported graph before they are lowered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from operator import getitem
from typing import Any, TypeGuard

import torch
from torch.fx import Node

from headrace.frontend.export import Exported

aten = torch.ops.aten

#: Operators that give their first argument back; casts among them (see `_keeps_kind`).
_IDENTITIES = {
    aten.alias.default,
    aten.clone.default,
    aten.contiguous.default,
    aten.detach.default,
    aten.detach_.default,
    aten.lift_fresh_copy.default,
    aten.to.dtype,
    aten.to.device,
    aten.to.dtype_layout,
    aten.to.other,
    aten._to_copy.default,
    aten.type_as.default,
}


def is_call(node: object, *targets: object) -> TypeGuard[Node]:
    return isinstance(node, Node) and node.op == "call_function" and node.target in targets


def shape_of(node: Any) -> tuple[int | torch.SymInt, ...]:
    """A node's sizes; the number of tokens is a SymInt."""
    return tuple(node.meta["val"].shape)


def module_path(node: Node) -> str:
    """The path, in the model, of the module whose code made the node; "" for the model itself."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    path = stack[-1][0] if stack else ""
    return path.removeprefix("module").removeprefix(".")


def arguments(node: Node) -> dict[str, Any]:
    """The arguments of an operator by their names in its schema, defaults filled in."""
    operator: Any = node.target
    schema = operator._schema
    given = dict(zip((each.name for each in schema.arguments), node.args, strict=False))
    missing = {each.name: each.default_value for each in schema.arguments if each.name not in given}
    return given | missing | dict(node.kwargs)


class Trace:
    """An exported step with its nodes classed: parameters, constants and data.

    A node is *data* if it depends on a parameter or on the values of the token ids. Whatever else
    there is depends on positions and constants alone and can be evaluated.

    Attributes:
        order: each node's place in the graph.
    """

    def __init__(self, exported: Exported) -> None:
        self.exported = exported
        self.order = {node: place for place, node in enumerate(exported.graph.nodes)}
        self._data: set[Node] = {exported.tokens, *exported.parameters}
        for node in exported.graph.nodes:
            if not is_call(node, aten.sym_size.int) and self._data & set(node.all_input_nodes):
                self._data.add(node)

    @cached_property
    def long(self) -> Trace | None:
        """The step of a model loaded for a long context, if its rotary tables differ then."""
        exported = self.exported
        if exported.long is None:
            return None
        others = exported.long.buffers.items()
        tables = {
            exported.buffers[name]: table for name, table in others if name in exported.buffers
        }
        return Trace(replace(exported, constants={**exported.constants, **tables}, long=None))

    def is_data(self, node: object) -> bool:
        return isinstance(node, Node) and node in self._data

    def is_constant(self, node: object) -> bool:
        """Whether the node is a tensor that depends on positions and constants alone."""
        return isinstance(node, Node) and node not in self._data and _is_tensor(node)

    def source(self, node: Any) -> Any:
        """The node behind casts, copies and what else changes no value."""
        while isinstance(node, Node) and _is_identity(node):
            node = node.args[0]
        return node

    def parameter(self, node: object) -> str | None:
        """The name of the parameter that a node is."""
        node = self.source(node)
        return self.exported.parameters.get(node) if isinstance(node, Node) else None

    def nodes_backwards(self) -> Iterator[Node]:
        return iter(reversed(list(self.exported.graph.nodes)))


def _is_tensor(node: Node) -> bool:
    return isinstance(node.meta.get("val"), torch.Tensor)


def _is_identity(node: Node) -> bool:
    if is_call(node, aten.dropout.default):
        return not node.args[2]
    if is_call(node, aten.slice.Tensor):
        return shape_of(node) == shape_of(node.args[0])
    return is_call(node, *_IDENTITIES) and _keeps_kind(node)


def _keeps_kind(node: Node) -> bool:
    """Whether a cast stays among floats or among integers."""
    before = arguments(node)["self"].meta["val"].dtype
    after = node.meta["val"].dtype
    return before.is_floating_point == after.is_floating_point and (
        (before is torch.bool) == (after is torch.bool)
    )


def is_getitem(node: object) -> TypeGuard[Node]:
    return is_call(node, getitem)
