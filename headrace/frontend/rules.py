"""Rules: how nodes of the exported graph become operators of the program.

A rule is chosen for each node that something needs, from the logits backwards, so nodes that only
served inside a recognised structure are never looked at. Then the chosen rules emit, forwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch.fx import Node

from headrace.frontend.trace import Trace

if TYPE_CHECKING:
    from headrace.frontend.emitter import Emitter
    from headrace.frontend.values import Value


class CannotLowerError(Exception):
    """A node cannot be lowered: `reason`, and what the user can do about it.

    `inputs` are the nodes that it needs all the same, where they are known: the search for more
    that cannot be lowered goes on from there.
    """

    def __init__(self, reason: str, hint: str | None = None) -> None:
        self.reason = reason
        self.hint = hint
        self.inputs: tuple[Node, ...] | None = None
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Rule:
    """The nodes whose values are needed, and what emits a node's value from theirs."""

    inputs: tuple[Node, ...]
    emit: Callable[[Emitter, tuple[Value, ...]], Value]


#: Looks at a node of a trace; None if the node is not what the rule is for.
Matcher = Callable[[Trace, Node], Rule | None]

_STRUCTURES: dict[object, list[Matcher]] = {}
_OPERATORS: dict[object, Matcher] = {}


def structure(*targets: object) -> Callable[[Matcher], Matcher]:
    """Register a matcher for a structure of several nodes, the last of which calls a target."""

    def register(matcher: Matcher) -> Matcher:
        for target in targets:
            _STRUCTURES.setdefault(target, []).append(matcher)
        return matcher

    return register


def operator(*targets: object) -> Callable[[Matcher], Matcher]:
    """Register what lowers the targets by themselves, when they end no known structure."""

    def register(matcher: Matcher) -> Matcher:
        _OPERATORS.update(dict.fromkeys(targets, matcher))
        return matcher

    return register


def find_rule(trace: Trace, node: Node) -> Rule:
    """The rule that takes the node.

    Raises:
        CannotLowerError: there is none, or the one that knows the operator refuses this use.
    """
    source = trace.source(node)
    if source is not node:
        return Rule((source,), lambda _, values: values[0])
    matchers = [*_STRUCTURES.get(node.target, ()), _OPERATORS.get(node.target, _unknown)]
    found = (matcher(trace, node) for matcher in matchers)
    return next(rule for rule in found if rule is not None)


def _unknown(trace: Trace, node: Node) -> Rule:
    if node.op != "call_function":
        raise CannotLowerError("a parameter or a constant in the place of a token's features")
    raise CannotLowerError("there is no rule for this operator")
