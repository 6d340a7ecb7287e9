"""GGUF metadata → the transformers configuration of the same model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import (
    Gemma3TextConfig,
    LlamaConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from headrace.checkpoint.tensors import Checkpoint
from headrace.errors import MalformedFileError, UnsupportedModelError
from headrace.frontend.metadata import Metadata, read_metadata

#: llama.cpp has these numbers in its code and not in the file: Gemma 3's local rotary base, the
#: period of its layers, and the layers of its 27B, whose attention scale differs.
GEMMA3_LOCAL_BASE, GEMMA3_PERIOD, GEMMA3_27B_LAYERS = 10000.0, 6, 62


def gguf_config(checkpoint: Checkpoint) -> PretrainedConfig:
    """The configuration of a GGUF file's model.

    Raises:
        UnsupportedModelError: the architecture, or something it asks for, is not supported.
        MalformedFileError: a key is missing or of the wrong type.
    """
    metadata = read_metadata(checkpoint)
    make = ARCHITECTURES.get(metadata.architecture)
    if make is None:
        raise UnsupportedModelError(
            f"the architecture '{metadata.architecture}' is not supported",
            where=metadata.path,
            hint=f"take a model of one of: {', '.join(ARCHITECTURES)}",
        )
    try:
        return make(metadata, checkpoint)
    except (ValueError, TypeError, StrictDataclassError) as error:
        raise UnsupportedModelError(
            f"transformers refuses the configuration: {error}", where=metadata.path
        ) from error


def gguf_stop_tokens(checkpoint: Checkpoint) -> tuple[int, ...]:
    """The ids that end a text, a turn or a message, as the file names them."""
    keys = (f"tokenizer.ggml.{kind}_token_id" for kind in ("eos", "eot", "eom"))
    found = (checkpoint.metadata.get(key) for key in keys)
    return tuple(dict.fromkeys(each for each in found if isinstance(each, int)))


def _llama(metadata: Metadata, checkpoint: Checkpoint) -> PretrainedConfig:
    _refuse_window(metadata)
    bias = "blk.0.attn_q.bias" in checkpoint.names()
    return LlamaConfig(
        **_common(metadata, checkpoint), rope_parameters=_rope(metadata), attention_bias=bias
    )


def _qwen2(metadata: Metadata, checkpoint: Checkpoint) -> PretrainedConfig:
    _refuse_window(metadata)
    return Qwen2Config(**_common(metadata, checkpoint), rope_parameters=_rope(metadata))


def _qwen3(metadata: Metadata, checkpoint: Checkpoint) -> PretrainedConfig:
    _refuse_window(metadata)
    return Qwen3Config(**_common(metadata, checkpoint), rope_parameters=_rope(metadata))


def _gemma3(metadata: Metadata, checkpoint: Checkpoint) -> PretrainedConfig:
    common = _common(metadata, checkpoint)
    local = metadata.real("rope.freq_base_swa", GEMMA3_LOCAL_BASE)
    layers, hidden = common["num_hidden_layers"], common["hidden_size"]
    heads = common["num_attention_heads"]
    return Gemma3TextConfig(
        **common,
        rope_parameters={
            "full_attention": _rope(metadata, default_base=1e6),
            "sliding_attention": {"rope_type": "default", "rope_theta": local},
        },
        sliding_window=metadata.count("attention.sliding_window"),
        layer_types=_layer_types(metadata, layers),
        query_pre_attn_scalar=(
            hidden // heads if layers == GEMMA3_27B_LAYERS else common["head_dim"]
        ),
        final_logit_softcapping=_optional(metadata, "final_logit_softcapping"),
        attn_logit_softcapping=_optional(metadata, "attn_logit_softcapping"),
    )


#: Supported architectures, by their names in GGUF files.
ARCHITECTURES: Mapping[str, Callable[[Metadata, Checkpoint], PretrainedConfig]] = MappingProxyType(
    {"llama": _llama, "qwen2": _qwen2, "qwen3": _qwen3, "gemma3": _gemma3}
)


def _common(metadata: Metadata, checkpoint: Checkpoint) -> dict[str, Any]:
    """What all architectures have."""
    hidden = metadata.count("embedding_length")
    heads = metadata.count("attention.head_count")
    head = metadata.count("attention.key_length", hidden // heads)
    _require(metadata, "attention.value_length", head)
    _require(metadata, "rope.dimension_count", head)
    _require(metadata, "expert_count", 0)
    layers = metadata.count("block_count")
    # A header's sizes must be those of its tensors before anything is made as large as it says.
    _require_shape(checkpoint, "token_embd.weight", (None, hidden))
    _require_shape(checkpoint, f"blk.{layers - 1}.attn_q.weight", (heads * head, hidden))
    return {
        "vocab_size": checkpoint.tensor("token_embd.weight").shape[0],
        "hidden_size": hidden,
        "intermediate_size": metadata.count("feed_forward_length"),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": metadata.count("attention.head_count_kv", heads),
        "head_dim": head,
        "rms_norm_eps": metadata.real("attention.layer_norm_rms_epsilon"),
        "max_position_embeddings": metadata.count("context_length"),
        "tie_word_embeddings": "output.weight" not in checkpoint.names(),
    }


def _require_shape(checkpoint: Checkpoint, tensor: str, expected: tuple[int | None, int]) -> None:
    shape = checkpoint.tensor(tensor).shape
    if len(shape) != 2 or (expected[0] or shape[0], expected[1]) != shape:
        rows, cols = expected
        raise MalformedFileError(
            f"tensor '{tensor}' has the shape {list(shape)}, and the keys say "
            f"[{'vocabulary' if rows is None else rows}, {cols}]",
            where=str(checkpoint.path),
        )


def _rope(metadata: Metadata, default_base: float = 10000.0) -> dict[str, Any]:
    """Rotary parameters; `rope_freqs.weight` is applied to the table itself (see `bindings`)."""
    rope: dict[str, Any] = {"rope_theta": metadata.real("rope.freq_base", default_base)}
    kind = metadata.text("rope.scaling.type", "none")
    if kind == "none":
        return rope | {"rope_type": "default"}
    if kind not in ("linear", "yarn"):
        raise UnsupportedModelError(
            f"rotary scaling of type '{kind}' is not supported",
            where=f"{metadata.path}, key '{metadata.architecture}.rope.scaling.type'",
        )
    rope |= {"rope_type": kind, "factor": metadata.real("rope.scaling.factor")}
    if kind == "yarn":
        _require(metadata, "rope.scaling.attn_factor", 1)
        original = metadata.count("rope.scaling.original_context_length")
        rope["original_max_position_embeddings"] = original
    return rope


def _layer_types(metadata: Metadata, layers: int) -> list[str]:
    period = metadata.count("attention.sliding_window_pattern", GEMMA3_PERIOD)
    return [
        "full_attention" if (layer + 1) % period == 0 else "sliding_attention"
        for layer in range(layers)
    ]


def _optional(metadata: Metadata, key: str) -> float | None:
    return metadata.real(key) if metadata.has(key) else None


def _refuse_window(metadata: Metadata) -> None:
    """These architectures have windows in some files that llama.cpp itself does not apply."""
    window = metadata.real("attention.sliding_window", 0)
    if 0 < window < metadata.count("context_length"):
        raise UnsupportedModelError(
            f"a sliding window of {window:g} in the architecture '{metadata.architecture}'",
            where=f"{metadata.path}, key '{metadata.architecture}.attention.sliding_window'",
        )


def _require(metadata: Metadata, key: str, expected: int) -> None:
    value = metadata.real(key, expected)
    if value != expected:
        raise UnsupportedModelError(
            f"'{metadata.architecture}.{key}' is {value:g}; only {expected} is supported here",
            where=metadata.path,
        )
