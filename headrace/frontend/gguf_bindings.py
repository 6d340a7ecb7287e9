"""Which tensor of a GGUF file each parameter of the module is, and what the converter did to it."""

from __future__ import annotations

import gguf
from transformers import PretrainedConfig, PreTrainedModel

from headrace.checkpoint.binding import Binding
from headrace.checkpoint.row_view import RowView
from headrace.checkpoint.tensors import Checkpoint
from headrace.errors import UnsupportedModelError
from headrace.frontend.bindings import (
    Shapes,
    check_shapes,
    listed,
    parameter_shapes,
    refuse_unused,
)
from headrace.frontend.gguf_config import gguf_architecture
from headrace.frontend.gguf_rotary import ROTARY_TENSORS
from headrace.frontend.gguf_tensors import Parameter, Rule
from headrace.frontend.metadata import read_metadata

#: Parts of a layer that some files hold as one matrix, in this order.
FUSED = ("attn_q", "attn_k", "attn_v")


def gguf_bindings(
    model: PreTrainedModel, config: PretrainedConfig, checkpoint: Checkpoint
) -> dict[str, Binding]:
    """The bindings of a model to a GGUF file.

    Raises:
        UnsupportedModelError: a parameter has no name in GGUF, or the file has tensors that the
            model does not.
        MalformedFileError: a tensor is missing or of another shape.
    """
    rules = gguf_architecture(checkpoint).rules
    shapes = parameter_shapes(model)
    names = _gguf_names(checkpoint, config.num_hidden_layers, shapes, rules)
    stored = set(checkpoint.names())
    bindings: dict[str, Binding] = {}
    for name, tensor in names.items():
        rule = next((each for each in rules if each.matches(name)), None)
        if rule is not None:
            bindings[name] = rule.undo(Parameter(name, shapes[name], tensor, config))
        elif tensor not in stored:
            bindings[name] = _part_of_fused(tensor, shapes[name][0], config, stored)
        else:
            bindings[name] = Binding(tensor)
    check_shapes(checkpoint, shapes, bindings)
    refuse_unused(checkpoint, bindings, set(ROTARY_TENSORS))
    return bindings


def _gguf_names(
    checkpoint: Checkpoint, layers: int, shapes: Shapes, rules: tuple[Rule, ...]
) -> dict[str, str]:
    architecture = read_metadata(checkpoint).architecture
    by_name = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}
    table = gguf.get_tensor_name_map(by_name[architecture], layers)
    found: dict[str, str] = {}
    missing: list[str] = []
    for name in shapes:
        rule = next((each for each in rules if each.matches(name)), None)
        known = name if rule is None else rule.known_name(name)
        tensor = table.get_name(known, try_suffixes=(".weight", ".bias"))
        if tensor is None:
            missing.append(name)
        else:
            found[name] = tensor
    if missing:
        raise UnsupportedModelError(
            f"GGUF has no name for {listed(missing)} of the architecture '{architecture}'"
        )
    return found


def _part_of_fused(tensor: str, rows: int, config: PretrainedConfig, stored: set[str]) -> Binding:
    """Queries, keys or values in a file that holds them as one matrix; else the tensor itself."""
    layer, part, kind = tensor.rpartition(".")[0].rpartition(".")[0], *tensor.split(".")[-2:]
    fused = f"{layer}.attn_qkv.{kind}"
    if part not in FUSED or fused not in stored:
        return Binding(tensor)
    heads = config.num_attention_heads, config.num_key_value_heads
    head = rows // (heads[0] if part == "attn_q" else heads[1])
    starts = (0, heads[0] * head, (heads[0] + heads[1]) * head)
    return Binding(fused, (RowView(starts[FUSED.index(part)], ((rows, 1),)),))
