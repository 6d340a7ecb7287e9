"""Collects what cannot be lowered, so that one error can list it all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch.fx import Node

from headrace.errors import UnsupportedOperatorError
from headrace.frontend.places import fold
from headrace.frontend.rules import CannotLowerError
from headrace.frontend.trace import module_path

#: How the model's own code is called among its modules.
_ITSELF = "the model's own forward"


@dataclass(slots=True)
class Problems:
    """Operators that cannot be lowered: (operator, reason, hint) → the nodes, in no order.

    Attributes:
        parameters: the names of those nodes that are parameters.
    """

    parameters: Mapping[Node, str]
    _found: dict[tuple[str, str, str | None], list[Node]] = field(
        default_factory=dict[tuple[str, str, "str | None"], list[Node]]
    )

    def add(self, node: Node, error: CannotLowerError) -> None:
        operator = "parameter" if node in self.parameters else str(node.target)
        self._found.setdefault((operator, error.reason, error.hint), []).append(node)

    def raise_any(self, order: dict[Node, int]) -> None:
        """Raise one UnsupportedOperatorError for all problems there are.

        order: of the nodes in the graph; problems are listed as a step meets them.
        """
        if not self._found:
            return
        for nodes in self._found.values():
            nodes.sort(key=order.__getitem__)
        found = sorted(self._found.items(), key=lambda each: order[each[1][0]])
        lines = [
            f"{operator} in {', '.join(fold(map(self._place, nodes)))}: {reason}"
            for (operator, reason, _), nodes in found
        ]
        hints = dict.fromkeys(hint for (_, _, hint), _ in found if hint is not None)
        raise UnsupportedOperatorError(
            "the model has operators that cannot be lowered:\n  " + "\n  ".join(lines),
            where=self._place(found[0][1][0]),
            hint="; ".join(hints) or "write this part with operators that headrace knows",
        )

    def _place(self, node: Node) -> str:
        return self.parameters.get(node) or module_path(node) or _ITSELF
