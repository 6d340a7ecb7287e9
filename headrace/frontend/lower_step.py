"""The exported graph as a program: choose rules backwards, emit forwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch.fx import Node
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Region

import headrace.frontend.lower  # noqa: F401  # pyright: ignore[reportUnusedImport]
from headrace.checkpoint.binding import Binding
from headrace.frontend.emitter import Emitter, WeightTypes
from headrace.frontend.export import Exported
from headrace.frontend.finish import finish
from headrace.frontend.problems import Problems
from headrace.frontend.rules import CannotLowerError, Rule, find_rule
from headrace.frontend.stand_in import stand_in
from headrace.frontend.trace import Trace, module_path
from headrace.frontend.values import ONE, TOKENS, Value
from headrace.ir.program_ops import ProgramOp


@dataclass(frozen=True, slots=True)
class Lowered:
    """A program, and what each of its weights is of the module's parameters."""

    module: ModuleOp
    weights: Mapping[str, Binding]


def lower_step(exported: Exported, weight_types: WeightTypes) -> Lowered:
    """The captured program of an exported step, verified.

    Raises:
        UnsupportedOperatorError: some operators cannot be lowered; it lists all of them.
    """
    trace = Trace(exported)
    problems = Problems(exported.parameters)
    rules = _choose(trace, problems)
    emitter = Emitter(trace, weight_types)
    values = _emit(emitter, rules, problems)
    problems.raise_any({node: index for index, node in enumerate(exported.graph.nodes)})
    finish(emitter, values[exported.logits])
    program = ProgramOp("main", exported.context, Region(emitter.block))
    module = ModuleOp([*emitter.tables, program])
    module.verify()
    return Lowered(module, emitter.weights)


def _choose(trace: Trace, problems: Problems) -> dict[Node, Rule | None]:
    """A rule for every node that the logits need, in the order of the graph; None: refused."""
    needed = {trace.exported.logits}
    chosen: dict[Node, Rule | None] = {}
    for node in trace.nodes_backwards():
        if node not in needed or node is trace.exported.tokens:
            continue
        try:
            chosen[node] = rule = find_rule(trace, node)
            needed.update(rule.inputs)
        except CannotLowerError as error:
            chosen[node] = None
            problems.add(node, error)
            needed.update(_inputs_of_refused(trace, node, error))
    return dict(reversed(chosen.items()))


def _inputs_of_refused(trace: Trace, node: Node, error: CannotLowerError) -> Iterable[Node]:
    if error.inputs is not None:
        return error.inputs
    activations = (each for each in node.all_input_nodes if trace.is_data(each))
    return [each for each in activations if trace.parameter(each) is None]


def _emit(
    emitter: Emitter, rules: Mapping[Node, Rule | None], problems: Problems
) -> dict[Node, Value]:
    """The values of nodes. Behind what cannot be lowered stand-ins keep the search going."""
    tokens = emitter.trace.exported.tokens
    values = {tokens: Value(emitter.tokens, (ONE, TOKENS))}
    guesses: set[Node] = set()
    for node, rule in rules.items():
        inputs = () if rule is None else rule.inputs
        emitter.hint = _hint(node)
        try:
            if rule is not None and all(each in values for each in inputs):
                values[node] = rule.emit(emitter, tuple(values[each] for each in inputs))
        except CannotLowerError as error:
            if guesses.isdisjoint(inputs):
                problems.add(node, error)
        made = values.get(node)
        if made is None and (guess := stand_in(emitter, node)) is not None:
            values[node] = made = guess
            guesses.add(node)
        elif made is not None and not guesses.isdisjoint(inputs) and not made.is_laid_out(0, 1):
            guesses.add(node)
    return values


def _hint(node: Node) -> str:
    """A name for a node's value: that of the module it is from, unless it is just a number."""
    name = module_path(node).split(".")[-1]
    return name if name and not name.isdigit() else "hidden"
