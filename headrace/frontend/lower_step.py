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
    problems = Problems()
    rules = _choose(trace, problems)
    problems.raise_any()
    emitter = Emitter(trace, weight_types)
    logits = _emit(emitter, rules, problems)
    finish(emitter, logits)
    program = ProgramOp("main", exported.context, Region(emitter.block))
    module = ModuleOp([*emitter.tables, program])
    module.verify()
    return Lowered(module, emitter.weights)


def _choose(trace: Trace, problems: Problems) -> dict[Node, Rule]:
    """A rule for every node that the logits need, in the order of the graph."""
    needed = {trace.exported.logits}
    chosen: dict[Node, Rule] = {}
    for node in trace.nodes_backwards():
        if node not in needed or node is trace.exported.tokens:
            continue
        try:
            chosen[node] = find_rule(trace, node)
            needed.update(chosen[node].inputs)
        except CannotLowerError as error:
            problems.add(node, error)
            needed.update(_inputs_of_refused(trace, node, error))
    return dict(reversed(chosen.items()))


def _inputs_of_refused(trace: Trace, node: Node, error: CannotLowerError) -> Iterable[Node]:
    if error.inputs is not None:
        return error.inputs
    activations = (each for each in node.all_input_nodes if trace.is_data(each))
    return [each for each in activations if trace.parameter(each) is None]


def _emit(emitter: Emitter, rules: dict[Node, Rule], problems: Problems) -> Value:
    exported = emitter.trace.exported
    values = {exported.tokens: Value(emitter.tokens, (ONE, TOKENS))}
    for node, rule in rules.items():
        if all(each in values for each in rule.inputs):
            emitter.hint = _hint(node)
            try:
                values[node] = rule.emit(emitter, tuple(values[each] for each in rule.inputs))
            except CannotLowerError as error:
                problems.add(node, error)
    problems.raise_any()
    return values[exported.logits]


def _hint(node: Node) -> str:
    """A name for a node's value: that of the module it is from, unless it is just a number."""
    name = module_path(node).split(".")[-1]
    return name if name and not name.isdigit() else "hidden"
