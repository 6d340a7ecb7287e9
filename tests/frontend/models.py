"""Tiny random models of each family, saved as directories and as GGUF files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

from headrace.checkpoint.binding import bind
from headrace.checkpoint.source import Source, open_checkpoint
from headrace.formats.storage import storage_format
from headrace.frontend.capture import Captured, capture_checkpoint
from headrace.ir.interpreter import Interpreter

CONTEXT = 64
WINDOW = 8
Logits = NDArray[np.float32]

_SIZES: dict[str, Any] = {
    "vocab_size": 101,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
}


def family(name: str, **changes: Any) -> PretrainedConfig:
    """A tiny configuration of a family by its GGUF name."""
    sizes = {**_SIZES, "num_hidden_layers": 2, **changes}
    if name == "llama":
        return LlamaConfig(**{"tie_word_embeddings": False, **sizes})
    if name == "qwen2":
        return Qwen2Config(**{"tie_word_embeddings": True, **sizes})
    if name == "qwen3":
        return Qwen3Config(**{"head_dim": 32, "tie_word_embeddings": False, **sizes})
    gemma3 = {
        "num_hidden_layers": 7,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "query_pre_attn_scalar": 32,
        "sliding_window": WINDOW,
    }
    return Gemma3TextConfig(**{**sizes, **gemma3, **changes})


FAMILIES = ("llama", "qwen2", "qwen3", "gemma3")


def random_model(config: PretrainedConfig) -> PreTrainedModel:
    """A model whose every parameter is random, norms and biases too."""
    generator = torch.Generator().manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            mean = 0.5 if "norm" in name else 0.0
            parameter.normal_(mean, 0.2, generator=generator)
    return model


def save_directory(model: PreTrainedModel, path: Path) -> Source:
    model.save_pretrained(path)
    return Source("directory", path, "tiny")


def save_gguf(
    model: PreTrainedModel,
    path: Path,
    architecture: str,
    changed_keys: dict[str, Any] | None = None,
    extra_tensors: dict[str, NDArray[np.float32]] | None = None,
    left_out: tuple[str, ...] = (),
    formats: Mapping[str, str] | None = None,
) -> Source:
    """What llama.cpp's converter writes: rotary rows interleaved, Gemma's norms plus one.

    formats: of matrices, by a part of their names; the first that fits counts, f32 without one.
    """
    config = model.config
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in {**_keys(config, architecture), **(changed_keys or {})}.items():
        _add(writer, f"{architecture}.{key}", value)
    writer.add_uint32("tokenizer.ggml.eos_token_id", 7)
    writer.add_uint32("tokenizer.ggml.eot_token_id", 9)
    by_name = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(by_name[architecture], config.num_hidden_layers)
    tensors = {
        names.get_name(name, try_suffixes=(".weight", ".bias")): each.detach().numpy()
        for name, each in model.named_parameters()
    }
    for name, values in {**tensors, **(extra_tensors or {})}.items():
        if name not in left_out:
            stored = _converted(architecture, config, name, values)
            _add_tensor(writer, name, stored, _format(name, stored, formats or {}))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Source("gguf", path, "tiny")


def _keys(config: PretrainedConfig, architecture: str) -> dict[str, Any]:
    keys = {
        "block_count": config.num_hidden_layers,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
    }
    if getattr(config, "head_dim", None):
        keys["attention.key_length"] = keys["attention.value_length"] = config.head_dim
    if architecture == "gemma3":
        return keys | {"attention.sliding_window": config.sliding_window, "rope.freq_base": 1e6}
    return keys | {"rope.freq_base": float(config.rope_parameters["rope_theta"])}


def _add(writer: gguf.GGUFWriter, key: str, value: int | float | str) -> None:
    if isinstance(value, str):
        writer.add_string(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    else:
        writer.add_uint32(key, value)


def _format(name: str, values: NDArray[np.float32], formats: Mapping[str, str]) -> str:
    found = (format for part, format in formats.items() if part in name and values.ndim == 2)
    return next(found, "f32")


def _add_tensor(
    writer: gguf.GGUFWriter, name: str, values: NDArray[np.float32], format: str
) -> None:
    if format == "f32":
        writer.add_tensor(name, values)
    else:
        kind = gguf.GGMLQuantizationType[format.upper()]
        writer.add_tensor(name, storage_format(format).quantise(values), raw_dtype=kind)


def _converted(
    architecture: str, config: PretrainedConfig, name: str, values: NDArray[np.float32]
) -> NDArray[np.float32]:
    if architecture == "gemma3" and "norm" in name:
        return values + 1
    if architecture == "llama" and ("attn_q." in name or "attn_k." in name):
        heads = config.num_attention_heads if "attn_q" in name else config.num_key_value_heads
        halves = values.reshape(heads, 2, -1, *values.shape[1:])
        return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(values.shape))
    return np.ascontiguousarray(values)


def capture(source: Source) -> tuple[Captured, Interpreter]:
    """A captured source and an interpreter with the checkpoint's weights."""
    checkpoint = open_checkpoint(source)
    captured = capture_checkpoint(source, checkpoint)
    weights = {name: bind(checkpoint, each) for name, each in captured.bindings.items()}
    return captured, Interpreter(captured.module, lambda name: weights[name].dequantise())


def random_ids(count: int, vocabulary: int = 101) -> NDArray[np.int64]:
    return np.random.default_rng(1).integers(0, vocabulary, count)


def reference_logits(model: torch.nn.Module, ids: NDArray[np.int64]) -> Logits:
    with torch.no_grad():
        result = model(torch.from_numpy(ids)[None])
    return getattr(result, "logits", result)[0].numpy()


def interpreted_logits(interpreter: Interpreter, ids: NDArray[np.int64], prompt: int) -> Logits:
    """Logits of all tokens: the first `prompt` in one step, then one a step."""
    steps = [range(prompt), *([position] for position in range(prompt, len(ids)))]
    rows = [
        interpreter.step(ids[list(step)], list(step), [0] * len(step), list(range(len(step))))[0]
        for step in steps
    ]
    return np.concatenate(rows)


def assert_close(actual: Logits, expected: Logits, tolerance: float = 1e-4) -> None:
    assert np.abs(actual - expected).max() <= tolerance * np.abs(expected).max()
