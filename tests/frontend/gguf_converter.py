"""A converter to GGUF F32, written after llama.cpp's convert_hf_to_gguf.py: keys and tensors.

It shares nothing with the package under test but the names of tensors, which are the `gguf`
package's own.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

Array = NDArray[np.float32]
Tensors = Iterator[tuple[str, Array]]


def convert(model: PreTrainedModel, path: Path, architecture: str) -> Path:
    """Write the model to `path`, with letters for tokens."""
    by_name = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}
    writer = gguf.GGUFWriter(path, architecture)
    config = copy.deepcopy(model.config)
    KEYS.get(architecture, common_keys)(writer, config)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(
        ["a", "b", "ab", *(chr(0x100 + index) for index in range(3, config.vocab_size))]
    )
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(7)
    writer.add_eot_token_id(9)
    layers = config.num_hidden_layers
    names = gguf.get_tensor_name_map(by_name[architecture], layers)
    modify = TENSORS.get(architecture, unchanged)
    for parameter, values in model.named_parameters():
        for name, changed in modify(parameter, values.detach().numpy().copy(), config):
            stored = names.get_name(name, try_suffixes=(".weight", ".bias"))
            assert stored is not None, name
            writer.add_tensor(stored, np.ascontiguousarray(changed, np.float32))
    for stored, values in extra_tensors(writer, config):
        writer.add_tensor(stored, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def rope_parameters(config: Any) -> dict[str, Any]:
    parameters = getattr(config, "rope_parameters", None) or {}
    return parameters.get("full_attention", parameters)


def head_size(config: Any) -> int:
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def common_keys(writer: gguf.GGUFWriter, config: Any) -> None:
    """TextModel.set_gguf_parameters."""
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    rope = rope_parameters(config)
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    elif rope["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if getattr(config, "rms_norm_eps", None) is not None:
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    for name in ("layer_norm_eps", "norm_epsilon", "norm_eps"):
        if getattr(config, name, None) is not None:
            writer.add_layer_norm_eps(getattr(config, name))
    if getattr(config, "head_dim", None) is not None:
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)


def whole_rope(writer: gguf.GGUFWriter, config: Any) -> None:
    common_keys(writer, config)
    writer.add_rope_dimension_count(head_size(config))


def partial_rope(writer: gguf.GGUFWriter, config: Any) -> None:
    common_keys(writer, config)
    factor = rope_parameters(config)["partial_rotary_factor"]
    writer.add_rope_dimension_count(int(factor * head_size(config)))


def pattern(writer: gguf.GGUFWriter, config: Any) -> None:
    if config.sliding_window is not None:
        writer.add_sliding_window(config.sliding_window)
        writer.add_sliding_window_pattern([k == "sliding_attention" for k in config.layer_types])


def gemma2_keys(writer: gguf.GGUFWriter, config: Any) -> None:
    common_keys(writer, config)
    writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
    writer.add_final_logit_softcapping(config.final_logit_softcapping)
    writer.add_sliding_window(config.sliding_window)


def gemma3_keys(writer: gguf.GGUFWriter, config: Any) -> None:
    common_keys(writer, config)
    writer.add_sliding_window(config.sliding_window)


def phi2_keys(writer: gguf.GGUFWriter, config: Any) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(4 * config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_attention_heads)
    writer.add_layer_norm_eps(config.layer_norm_eps)
    factor = config.rope_parameters["partial_rotary_factor"]
    writer.add_rope_dimension_count(int(factor * config.hidden_size) // config.num_attention_heads)


def phi3_keys(writer: gguf.GGUFWriter, config: Any) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_rope_scaling_orig_ctx_len(config.original_max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    factor = config.rope_parameters["partial_rotary_factor"]
    writer.add_rope_dimension_count(int(factor * config.hidden_size) // config.num_attention_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_sliding_window(config.sliding_window or 0)


def olmo_keys(writer: gguf.GGUFWriter, config: Any) -> None:
    common_keys(writer, config)
    writer.add_layer_norm_eps(1e-5)
    if config.clip_qkv is not None:
        writer.add_clamp_kqv(config.clip_qkv)


def olmo2_keys(writer: gguf.GGUFWriter, config: Any) -> None:
    common_keys(writer, config)
    if getattr(config, "sliding_window", None) is not None:
        pattern(writer, config)


def granite_keys(writer: gguf.GGUFWriter, config: Any) -> None:
    whole_rope(writer, config)
    writer.add_attention_scale(config.attention_multiplier)
    writer.add_embedding_scale(config.embedding_multiplier)
    writer.add_residual_scale(config.residual_multiplier)
    writer.add_logit_scale(config.logits_scaling)


def cohere_keys(writer: gguf.GGUFWriter, config: Any) -> None:
    common_keys(writer, config)
    writer.add_logit_scale(config.logit_scale)
    writer.add_rope_scaling_type(gguf.RopeScalingType.NONE)


def cohere2_keys(writer: gguf.GGUFWriter, config: Any) -> None:
    cohere_keys(writer, config)
    writer.add_sliding_window(config.sliding_window)
    writer.add_rope_dimension_count(head_size(config))


def stablelm_keys(writer: gguf.GGUFWriter, config: Any) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_rope_dimension_count(
        int(config.rope_parameters["partial_rotary_factor"] * head_size(config))
    )
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_parallel_residual(config.use_parallel_residual)
    writer.add_layer_norm_eps(config.layer_norm_eps)


def gpt2_keys(writer: gguf.GGUFWriter, config: Any) -> None:
    writer.add_block_count(config.n_layer)
    writer.add_context_length(config.n_positions)
    writer.add_embedding_length(config.n_embd)
    writer.add_feed_forward_length(4 * config.n_embd)
    writer.add_head_count(config.n_head)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)


def gptneox_keys(writer: gguf.GGUFWriter, config: Any) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    factor = config.rope_parameters["partial_rotary_factor"]
    writer.add_rope_dimension_count(int(factor * head_size(config)))
    writer.add_head_count(config.num_attention_heads)
    writer.add_parallel_residual(config.use_parallel_residual)
    writer.add_layer_norm_eps(config.layer_norm_eps)


def falcon_keys(writer: gguf.GGUFWriter, config: Any) -> None:
    writer.add_context_length(2048)
    writer.add_tensor_data_layout("jploski")
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(4 * config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_kv_heads if config.new_decoder_architecture else 1)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)


def chatglm_keys(writer: gguf.GGUFWriter, config: Any) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    factor = config.rope_parameters["partial_rotary_factor"]
    writer.add_rope_dimension_count(int(head_size(config) * factor))
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])


def exaone4_keys(writer: gguf.GGUFWriter, config: Any) -> None:
    common_keys(writer, config)
    pattern(writer, config)


def nemotron_keys(writer: gguf.GGUFWriter, config: Any) -> None:
    partial_rope(writer, config)
    writer.add_rope_scaling_type(gguf.RopeScalingType.NONE)


def mpt_keys(writer: gguf.GGUFWriter, config: Any) -> None:
    writer.add_context_length(config.max_seq_len)
    writer.add_embedding_length(config.d_model)
    writer.add_block_count(config.n_layers)
    writer.add_feed_forward_length(4 * config.d_model)
    writer.add_head_count(config.n_heads)
    writer.add_layer_norm_eps(1e-5)
    if config.attn_config.clip_qkv is not None:
        writer.add_clamp_kqv(config.attn_config.clip_qkv)
    writer.add_max_alibi_bias(float(config.attn_config.alibi_bias_max))


KEYS: dict[str, Callable[[gguf.GGUFWriter, Any], None]] = {
    "llama": whole_rope,
    "gemma2": gemma2_keys,
    "gemma3": gemma3_keys,
    "phi2": phi2_keys,
    "phi3": phi3_keys,
    "smollm3": whole_rope,
    "arcee": whole_rope,
    "olmo": olmo_keys,
    "olmo2": olmo2_keys,
    "granite": granite_keys,
    "command-r": cohere_keys,
    "cohere2": cohere2_keys,
    "stablelm": stablelm_keys,
    "gpt2": gpt2_keys,
    "gptneox": gptneox_keys,
    "falcon": falcon_keys,
    "chatglm": chatglm_keys,
    "glm4": partial_rope,
    "exaone": whole_rope,
    "exaone4": exaone4_keys,
    "nemotron": nemotron_keys,
    "mpt": mpt_keys,
}


def unchanged(name: str, values: Array, config: Any) -> Tensors:
    yield name, values


def permute(weights: Array, heads: int) -> Array:
    """LlamaModel.permute."""
    shape = weights.shape
    return (
        weights.reshape(heads, 2, shape[0] // heads // 2, *shape[1:]).swapaxes(1, 2).reshape(shape)
    )


def permuted(name: str, values: Array, config: Any) -> Tensors:
    if name.endswith(("q_proj.weight", "q_proj.bias")):
        values = permute(values, config.num_attention_heads)
    if name.endswith(("k_proj.weight", "k_proj.bias")):
        values = permute(values, config.num_key_value_heads)
    yield name, values


def around_one(name: str, values: Array, config: Any) -> Tensors:
    yield name, values + 1 if name.endswith("norm.weight") else values


def stacked_norms(name: str, values: Array, config: Any) -> Tensors:
    """StableLMModel stacks the norms of heads; they are collected on the configuration."""
    found = re.fullmatch(r"(.*\.([qk])_layernorm)\.norms\.(\d+)\.weight", name)
    if found is None:
        yield name, values
        return
    heads = config.num_attention_heads if found[2] == "q" else config.num_key_value_heads
    held = config.__dict__.setdefault("_collected", {}).setdefault(found[1], {})
    held[int(found[3])] = values
    if len(held) == heads:
        yield f"{found[1]}.weight", np.stack([held[head] for head in range(heads)])


def fused_qkv(name: str, values: Array, config: Any) -> Tensors:
    """ChatGLM's published files hold queries, keys and values as one matrix."""
    found = re.fullmatch(r"(.*)\.([qkv])_proj\.(weight|bias)", name)
    if found is None:
        yield name, values
        return
    held = config.__dict__.setdefault("_collected", {}).setdefault(found[1] + found[3], {})
    held[found[2]] = values
    if len(held) == 3:
        yield f"{found[1]}.qkv_proj.{found[3]}", np.concatenate([held[part] for part in "qkv"])


def transposed(name: str, values: Array, config: Any) -> Tensors:
    conv = name.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight"))
    yield name, values.T if conv else values


def neox_qkv(name: str, values: Array, config: Any) -> Tensors:
    if "query_key_value" in name:
        by_head = values.reshape(config.num_attention_heads, 3, -1, *values.shape[1:])
        thirds = [by_head[:, part].reshape(-1, *values.shape[1:]) for part in range(3)]
        values = np.concatenate(thirds)
    yield name, values


def falcon_qkv(name: str, values: Array, config: Any) -> Tensors:
    if "query_key_value" in name:
        heads = config.num_attention_heads
        groups = config.num_kv_heads if config.new_decoder_architecture else 1
        size, hidden = config.hidden_size // heads, config.hidden_size
        qkv = values.reshape(groups, heads // groups + 2, size, hidden)
        q = qkv[:, :-2].reshape(-1, hidden)
        k = qkv[:, [-2]].reshape(-1, hidden)
        v = qkv[:, [-1]].reshape(-1, hidden)
        values = np.concatenate([q, k, v])
    yield name, values


TENSORS: dict[str, Callable[[str, Array, Any], Tensors]] = {
    "llama": permuted,
    "internlm2": permuted,
    "smollm3": permuted,
    "arcee": permuted,
    "olmo": permuted,
    "granite": permuted,
    "gemma": around_one,
    "gemma2": around_one,
    "gemma3": around_one,
    "nemotron": around_one,
    "stablelm": stacked_norms,
    "chatglm": fused_qkv,
    "gpt2": transposed,
    "gptneox": neox_qkv,
    "falcon": falcon_qkv,
}


def extra_tensors(writer: gguf.GGUFWriter, config: Any) -> Tensors:
    """`generate_extra_tensors`: Llama 3's factors and LongRoPE's."""
    rope = rope_parameters(config)
    if rope.get("rope_type") == "llama3":
        yield "rope_freqs.weight", llama3_factors(rope, head_size(config))
    if rope.get("rope_type") == "longrope":
        original = rope["original_max_position_embeddings"]
        scale = config.max_position_embeddings / original
        writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(scale) / math.log(original)))
        yield "rope_factors_long.weight", np.array(rope["long_factor"], np.float32)
        yield "rope_factors_short.weight", np.array(rope["short_factor"], np.float32)


def llama3_factors(rope: dict[str, Any], size: int) -> Array:
    low, high, factor = rope["low_freq_factor"], rope["high_freq_factor"], rope["factor"]
    original = rope["original_max_position_embeddings"]
    frequencies = 1.0 / rope["rope_theta"] ** (np.arange(0, size, 2, dtype=np.float32) / size)
    factors: list[float] = []
    for wavelength in 2 * math.pi / frequencies:
        if wavelength < original / high:
            factors.append(1)
        elif wavelength > original / low:
            factors.append(factor)
        else:
            smooth = (original / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(factors, np.float32)
