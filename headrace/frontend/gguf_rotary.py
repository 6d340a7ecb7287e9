"""Rotary positions of a GGUF file: base, part of a head, scaling, factors stored as tensors."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch

from headrace.checkpoint.tensors import Checkpoint
from headrace.errors import UnsupportedModelError
from headrace.frontend.bindings import wrong_shape
from headrace.frontend.gguf_facts import Arguments, Aspect, Facts

#: Llama 3's factors of each frequency, applied to the table itself; LongRoPE's, for the short and
#: the long context, which belong to the configuration.
FACTORS, SHORT_FACTORS, LONG_FACTORS = (
    "rope_freqs.weight",
    "rope_factors_short.weight",
    "rope_factors_long.weight",
)
ROTARY_TENSORS = frozenset({FACTORS, SHORT_FACTORS, LONG_FACTORS})
BASE = 10000.0

_YARN: Mapping[str, str] = MappingProxyType(
    {
        "beta_fast": "rope.scaling.yarn_beta_fast",
        "beta_slow": "rope.scaling.yarn_beta_slow",
    }
)


def rotary(facts: Facts) -> Arguments:
    """The rotary parameters of a model with one table, for whole heads or a part of each."""
    parameters = scaled(facts)
    rotated = facts.metadata.count("rope.dimension_count", facts.head)
    if rotated != facts.head:
        parameters["partial_rotary_factor"] = rotated / facts.head
    return {"rope_parameters": parameters}


def whole_rotary(facts: Facts) -> Arguments:
    """Of models that rotate whole heads, always."""
    facts.require("rope.dimension_count", facts.head)
    return {"rope_parameters": scaled(facts)}


def two_tables(base: float, local: float | None = None) -> Aspect:
    """Layers with a window have a table of their own, which is not scaled.

    Args:
        base: where the file does not say.
        local: the windowed layers' base; None: the same.
    """

    def read(facts: Facts) -> Arguments:
        facts.require("rope.dimension_count", facts.head)
        full = scaled(facts, base)
        own = full["rope_theta"] if local is None else local
        theta = facts.metadata.real("rope.freq_base_swa", own)
        windowed = {"rope_type": "default", "rope_theta": theta}
        return {"rope_parameters": {"full_attention": full, "sliding_attention": windowed}}

    return read


def scaled(facts: Facts, base: float = BASE) -> Arguments:
    """Base and scaling. `rope_freqs.weight` is applied to the table itself (`scale_rotary`)."""
    parameters: Arguments = {"rope_theta": facts.metadata.real("rope.freq_base", base)}
    if facts.has(LONG_FACTORS):
        return parameters | _longrope(facts)
    kind = facts.metadata.text("rope.scaling.type", "none")
    if kind == "none":
        return parameters | {"rope_type": "default"}
    if kind == "linear":
        factor = facts.metadata.real("rope.scaling.factor")
        return parameters | {"rope_type": "linear", "factor": factor}
    if kind == "yarn":
        return parameters | _yarn(facts)
    raise UnsupportedModelError(
        f"rotary scaling of type '{kind}' is not supported",
        where=f"{facts.metadata.path}, key '{facts.metadata.architecture}.rope.scaling.type'",
    )


def _yarn(facts: Facts) -> Arguments:
    for key in ("attn_factor", "yarn_attn_factor", "yarn_ext_factor"):
        facts.require(f"rope.scaling.{key}", 1)
    given = {name: facts.metadata.optional(key) for name, key in _YARN.items()}
    return {
        "rope_type": "yarn",
        "factor": facts.metadata.real("rope.scaling.factor"),
        "original_max_position_embeddings": _original(facts),
        **{name: value for name, value in given.items() if value is not None},
    }


def _longrope(facts: Facts) -> Arguments:
    """Factors of each frequency for contexts up to the original length, and beyond it."""
    return {
        "rope_type": "longrope",
        "short_factor": _factors(facts.checkpoint, SHORT_FACTORS),
        "long_factor": _factors(facts.checkpoint, LONG_FACTORS),
        "attention_factor": facts.metadata.real("rope.scaling.attn_factor", 1),
        "original_max_position_embeddings": _original(facts),
    }


def _factors(checkpoint: Checkpoint, tensor: str) -> list[float]:
    return checkpoint.tensor(tensor).dequantise().tolist()


def _original(facts: Facts) -> int:
    return facts.metadata.count("rope.scaling.original_context_length")


def scale_rotary(checkpoint: Checkpoint, values: dict[str, torch.Tensor]) -> None:
    """Divide the rotary frequencies by the factors of a GGUF file that has some (Llama 3).

    Raises:
        MalformedFileError: there are not as many factors as frequencies.
    """
    if FACTORS not in checkpoint.names():
        return
    factors = torch.from_numpy(checkpoint.tensor(FACTORS).dequantise().copy())
    for name, buffer in values.items():
        if name.endswith("inv_freq"):
            if buffer.shape != factors.shape:
                raise wrong_shape(checkpoint, FACTORS, tuple(factors.shape), tuple(buffer.shape))
            values[name] = buffer / factors
