"""Merges nodes that compute the same from the same.

Where a model assigns in place, torch.export writes each view of what is assigned anew for every
use; structures are recognised by their nodes being the same.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import torch
from torch.fx import Graph, Node


def merge_nodes(graph: Graph) -> None:
    """Let equal nodes of a graph without assignments be one, the first of them."""
    firsts: dict[Hashable, Node] = {}
    for node in list(graph.nodes):
        if node.op != "call_function" or not node.users or not _is_function(node):
            continue
        key = (node.target, _key(node.args), _key(node.kwargs))
        first = firsts.setdefault(key, node)
        if first is not node:
            node.replace_all_uses_with(first)
            graph.erase_node(node)


def _is_function(node: Node) -> bool:
    tags = getattr(node.target, "tags", ())
    return torch.Tag.nondeterministic_seeded not in tags


def _key(argument: Any) -> Hashable:
    """An argument as a key; numbers with their types, as 1 == 1.0 == True."""
    if isinstance(argument, list | tuple):
        return tuple(map(_key, argument))
    if isinstance(argument, dict):
        return tuple((name, _key(each)) for name, each in sorted(argument.items()))
    return (type(argument), argument)
