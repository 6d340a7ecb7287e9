"""Collects what cannot be lowered, so that one error can list it all."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch.fx import Node

from headrace.errors import UnsupportedOperatorError
from headrace.frontend.rules import CannotLowerError
from headrace.frontend.trace import module_path


@dataclass(slots=True)
class Problems:
    """Operators that cannot be lowered: (operator, reason, hint) → where they are."""

    _found: dict[tuple[str, str, str | None], list[str]] = field(default_factory=dict)

    def add(self, node: Node, error: CannotLowerError) -> None:
        key = (str(node.target), error.reason, error.hint)
        places = self._found.setdefault(key, [])
        path = module_path(node) or "the model's own forward"
        if path not in places:
            places.insert(0, path)

    def raise_any(self) -> None:
        """Raise one UnsupportedOperatorError for all problems there are."""
        if not self._found:
            return
        lines = [
            f"{operator} in {_places(places)}: {reason}"
            for (operator, reason, _), places in self._found.items()
        ]
        hints = dict.fromkeys(hint for _, _, hint in self._found if hint is not None)
        raise UnsupportedOperatorError(
            "the model has operators that cannot be lowered:\n  " + "\n  ".join(lines),
            where=next(iter(self._found.values()))[0],
            hint="; ".join(hints) or "write this part with operators that headrace knows",
        )


def _places(paths: list[str]) -> str:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return paths[0] + more
