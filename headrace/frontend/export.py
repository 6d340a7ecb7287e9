"""torch.export of one step: `[1, T]` token ids and positions → `[1, T, vocabulary]` logits."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.export import Dim
from torch.export.graph_signature import InputKind
from torch.fx import Graph, Node

from headrace.errors import HeadraceError, UnsupportedModelError
from headrace.frontend.export_failures import export_failure, followed
from headrace.frontend.hollow import leave_meta_device
from headrace.frontend.merge_nodes import merge_nodes
from headrace.frontend.rotary import LongTables, still_rotary

EXAMPLE_TOKENS = 5
#: torch.export takes a dimension of 0 or 1 for fixed.
SHORTEST_CONTEXT = 2


@dataclass(frozen=True, slots=True)
class Exported:
    """An exported step.

    Attributes:
        tokens: the placeholder of the token ids `[1, T]`.
        positions: the placeholder of the positions `[1, T]`; unused if the module takes none.
        parameters: placeholder → name of the parameter in the module; one name for tied ones.
        constants: placeholder → its value: buffers and constants, on the CPU.
        context: the largest number of positions.
        buffers: the placeholders of buffers by their names in the module.
        long: buffers that have other values when the program is loaded for a long context.
    """

    graph: Graph
    tokens: Node
    positions: Node
    parameters: Mapping[Node, str]
    constants: Mapping[Node, torch.Tensor]
    context: int
    buffers: Mapping[str, Node]
    long: LongTables | None = None

    @property
    def logits(self) -> Node:
        (logits,) = self.graph.output_node().all_input_nodes
        return logits


class _Step(torch.nn.Module):
    """A module as a function of token ids and positions that returns the logits alone."""

    def __init__(self, module: torch.nn.Module, keywords: Mapping[str, object]) -> None:
        super().__init__()
        self.module = module
        self.keywords = keywords

    def forward(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        inputs = {"position_ids": positions} if takes_positions(self.module) else {}
        result: Any = self.module(tokens, **inputs, **self.keywords)
        result = getattr(result, "logits", result)
        return result[0] if isinstance(result, tuple) else result


def takes_positions(module: torch.nn.Module) -> bool:
    return "position_ids" in inspect.signature(module.forward).parameters


def export_step(
    module: torch.nn.Module,
    context: int,
    values: Mapping[str, torch.Tensor],
    keywords: Mapping[str, object],
) -> Exported:
    """Export `module(input_ids[, position_ids], **keywords)` for one sequence of any length.

    Args:
        values: of buffers on the meta device, and of parameters that are to be constants, by
            their names in the module.

    Raises:
        UnsupportedModelError: torch.export cannot follow the module's code.
    """
    if context < SHORTEST_CONTEXT:
        raise UnsupportedModelError(
            f"a context of {context} positions; {SHORTEST_CONTEXT} are the least",
            where=type(module).__name__,
        )
    unknown = leave_meta_device(module, values)
    device = next(module.parameters()).device
    example = torch.zeros(1, min(EXAMPLE_TOKENS, context), dtype=torch.long, device=device)
    length = Dim("T", min=SHORTEST_CONTEXT, max=_longest(context))
    running: list[str] = []
    try:
        with torch.no_grad(), still_rotary(module) as long, followed(module) as running:
            program = _export(_Step(module, keywords), example, length)
    except HeadraceError:
        raise
    except Exception as error:  # torch.export raises whatever the module's code raises under it
        raise export_failure(error, module, running) from error
    return _exported(program, module, context, values, unknown, long)


def _export(step: _Step, example: torch.Tensor, length: Dim) -> torch.export.ExportedProgram:
    with warnings.catch_warnings():
        # PyTorch warns of what it calls itself.
        warnings.simplefilter("ignore", FutureWarning)
        program = torch.export.export(
            step,
            (example, example.clone()),
            dynamic_shapes=({1: length}, {1: length}),
            strict=False,
        )
        if _assigns_in_place(program):
            program = program.run_decompositions({})
            merge_nodes(program.graph)
    return program


def _longest(context: int) -> int:
    """The longest text to export for. A slice of a table as long as the context is the table itself
    for just that length, which torch.export takes for a case of its own: leave it out."""
    return context - 1 if context > SHORTEST_CONTEXT + 1 else context


def _assigns_in_place(program: torch.export.ExportedProgram) -> bool:
    """Whether some operator writes into its input; then a node's value depends on its users.

    An empty `run_decompositions` rewrites them as functions. It takes as long as the export.
    """
    schemas = (getattr(node.target, "_schema", None) for node in program.graph.nodes)
    return any(schema is not None and schema.is_mutable for schema in schemas)


def _exported(
    program: torch.export.ExportedProgram,
    module: torch.nn.Module,
    context: int,
    values: Mapping[str, torch.Tensor],
    unknown: set[str],
    long: LongTables | None,
) -> Exported:
    signature = program.graph_signature
    if signature.buffers_to_mutate:
        names = {name.removeprefix("module.") for name in signature.buffers_to_mutate.values()}
        raise UnsupportedModelError(
            f"the model changes its own buffers from step to step: {', '.join(sorted(names))}",
            where=type(module).__name__,
            hint="rotary tables must not depend on the length of the text",
        )
    placeholders = [node for node in program.graph.nodes if node.op == "placeholder"]
    first_names = _first_names(module)
    parameters: dict[Node, str] = {}
    constants: dict[Node, torch.Tensor] = {}
    buffers: dict[str, Node] = {}
    inputs: list[Node] = []
    for node, spec in zip(placeholders, signature.input_specs, strict=True):
        name = (spec.target or "").removeprefix("module.")
        if spec.kind is InputKind.PARAMETER and name in values:
            constants[node] = values[name]
        elif spec.kind is InputKind.PARAMETER:
            parameters[node] = first_names[name]
        elif spec.kind is InputKind.USER_INPUT:
            inputs.append(node)
        elif spec.kind in (InputKind.BUFFER, InputKind.CONSTANT_TENSOR):
            buffers[name] = node
            held = _held(program, spec.target)
            constants[node] = held.to("meta") if name in unknown else held
    tokens, positions = inputs
    return Exported(program.graph, tokens, positions, parameters, constants, context, buffers, long)


def _held(program: torch.export.ExportedProgram, target: str | None) -> torch.Tensor:
    assert target is not None
    held = program.state_dict.get(target, program.constants.get(target))
    assert isinstance(held, torch.Tensor)
    return held.detach()


def _first_names(module: torch.nn.Module) -> dict[str, str]:
    """Every parameter's name → the first name, in module order, of the same parameter."""
    firsts: dict[int, str] = {}
    return {
        name: firsts.setdefault(id(parameter), name)
        for name, parameter in module.named_parameters(remove_duplicate=False)
    }
