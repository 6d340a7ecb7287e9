"""The families of the matrix: tiny configurations that show what makes each family different."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transformers import AutoConfig, PretrainedConfig

CONTEXT, WINDOW, VOCABULARY, LAYERS = 64, 8, 96, 2
LENGTH = 3 * WINDOW

_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def _rope(kind: str, **others: float | list[float]) -> dict[str, Any]:
    return {"rope_type": kind, "rope_theta": 10000.0, **others}


@dataclass(frozen=True)
class Family:
    """One row of the matrix.

    Attributes:
        name: of the tests.
        title: what people call it.
        kind: transformers' model type.
        shows: what of its structure the configuration switches on.
        changes: of the sizes and defaults; None leaves a size out.
        context: positions that the program is loaded for.
    """

    name: str
    title: str
    kind: str
    shows: str
    changes: Mapping[str, Any] = field(default_factory=dict[str, Any], hash=False)
    context: int = CONTEXT

    @property
    def layers(self) -> int:
        return self.config().num_hidden_layers

    def config(self) -> PretrainedConfig:
        sizes = {**_SIZES, **self.changes}
        return AutoConfig.for_model(
            self.kind, **{key: value for key, value in sizes.items() if value is not None}
        )


def without(*sizes: str) -> dict[str, Any]:
    """Changes that leave sizes out."""
    return dict.fromkeys(sizes)


_NO_GROUPS = without("num_key_value_heads")
_SLIDING = ["sliding_attention", "full_attention"]


def _longrope(positions: int) -> dict[str, Any]:
    """LongRoPE that changes its frequencies beyond a number of positions."""
    short = [1.0 + 0.1 * pair for pair in range(6)]
    long = [2.0 + 0.5 * pair for pair in range(6)]
    rope = _rope("longrope", partial_rotary_factor=0.75, short_factor=short, long_factor=long)
    return {"original_max_position_embeddings": positions, "rope_parameters": rope}


FAMILIES: tuple[Family, ...] = (
    Family("llama2", "Llama 2", "llama", "RMS norm, rotary positions, gated MLP, own head"),
    Family(
        "llama3",
        "Llama 3",
        "llama",
        "grouped queries, scaled rotary positions, tied head",
        {
            "tie_word_embeddings": True,
            "rope_parameters": _rope(
                "llama3",
                factor=8.0,
                low_freq_factor=1.0,
                high_freq_factor=4.0,
                original_max_position_embeddings=32,
            ),
        },
    ),
    Family(
        "linear",
        "Llama, linear scaling",
        "llama",
        "rotary positions divided by a factor",
        {"rope_parameters": _rope("linear", factor=4.0)},
    ),
    Family(
        "yarn",
        "Llama, YaRN",
        "llama",
        "frequencies interpolated by parts, scaled scores",
        {"rope_parameters": _rope("yarn", factor=4.0, original_max_position_embeddings=16)},
    ),
    Family("mistral", "Mistral", "mistral", "sliding window", {"sliding_window": WINDOW}),
    Family("qwen2", "Qwen2", "qwen2", "biases, tied head", {"tie_word_embeddings": True}),
    Family(
        "qwen2.5",
        "Qwen2.5",
        "qwen2",
        "biases, sliding windows in some layers",
        {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    ),
    Family("qwen3", "Qwen3", "qwen3", "norms of queries and keys", {"head_dim": 32}),
    Family("gemma", "Gemma 1", "gemma", "scaled embeddings, norms around one", {"head_dim": 32}),
    Family(
        "gemma2",
        "Gemma 2",
        "gemma2",
        "soft caps of scores and logits, windows in every other layer, four norms a layer",
        {
            "head_dim": 32,
            "query_pre_attn_scalar": 16,
            "sliding_window": WINDOW,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 3.0,
        },
    ),
    Family(
        "gemma3",
        "Gemma 3",
        "gemma3_text",
        "two rotary tables, windows in five of six layers",
        {
            "num_hidden_layers": 7,
            "num_key_value_heads": 1,
            "head_dim": 32,
            "query_pre_attn_scalar": 32,
            "sliding_window": WINDOW,
        },
    ),
    Family(
        "phi",
        "Phi-2",
        "phi",
        "layer norms, part of each head rotated, attention beside the MLP, biases",
        {"partial_rotary_factor": 0.5, "qk_layernorm": True},
    ),
    Family(
        "phi3",
        "Phi-3",
        "phi3",
        "fused projections, sliding window",
        {"sliding_window": WINDOW},
    ),
    Family(
        "phi4",
        "Phi-4, long texts",
        "phi3",
        "LongRoPE on a part of each head",
        _longrope(16),
    ),
    Family(
        "phi4_short",
        "Phi-4, short texts",
        "phi3",
        "the same, loaded for no more positions than it was first trained for",
        _longrope(32),
        context=32,
    ),
    Family(
        "smollm3",
        "SmolLM3",
        "smollm3",
        "layers without positions",
        {"no_rope_layers": [1, 0]},
    ),
    Family(
        "olmo", "OLMo 1", "olmo", "layer norms without weights, clipped heads", {"clip_qkv": 0.5}
    ),
    Family(
        "olmo2", "OLMo 2", "olmo2", "norms behind blocks, queries and keys normed over all heads"
    ),
    Family(
        "olmo3",
        "OLMo 3",
        "olmo3",
        "as OLMo 2, windows in three of four layers",
        {"sliding_window": WINDOW, "num_hidden_layers": 4},
    ),
    Family(
        "granite",
        "Granite",
        "granite",
        "multipliers of embeddings, residuals, scores and logits",
        {
            "embedding_multiplier": 6.0,
            "residual_multiplier": 0.3,
            "attention_multiplier": 0.1,
            "logits_scaling": 4.0,
            "attention_bias": True,
        },
    ),
    Family(
        "cohere",
        "Command-R",
        "cohere",
        "interleaved rotation, attention beside the MLP, layer norms of heads, scaled logits",
        {"use_qk_norm": True, "logit_scale": 0.25},
    ),
    Family(
        "cohere2",
        "Command-R7B",
        "cohere2",
        "as Command-R; windows, and layers without positions",
        {"sliding_window": WINDOW, "num_hidden_layers": 4, "logit_scale": 0.25},
    ),
    Family(
        "stablelm",
        "StableLM 2",
        "stablelm",
        "layer norms with biases, a quarter of each head rotated, attention beside the MLP, biases",
        {"use_qkv_bias": True, "use_parallel_residual": True, "partial_rotary_factor": 0.25},
    ),
    Family(
        "stablelm12b",
        "StableLM 2 12B",
        "stablelm",
        "a layer norm for each head",
        {"qk_layernorm": True, "partial_rotary_factor": 0.25},
    ),
    Family(
        "starcoder2",
        "StarCoder2",
        "starcoder2",
        "layer norms, MLP without a gate, biases, sliding window",
        {"sliding_window": WINDOW, "use_bias": True},
    ),
    Family(
        "gpt2",
        "GPT-2",
        "gpt2",
        "learned positions, transposed and fused projections",
        {
            "n_embd": 64,
            "n_layer": LAYERS,
            "n_head": 4,
            "n_positions": CONTEXT,
            "n_inner": 96,
            **without(
                "hidden_size",
                "intermediate_size",
                "num_hidden_layers",
                "num_attention_heads",
                "max_position_embeddings",
                "num_key_value_heads",
            ),
        },
    ),
    Family(
        "gpt_neox",
        "GPT-NeoX, Pythia",
        "gpt_neox",
        "projections fused head by head, a quarter of each head rotated, attention beside the MLP",
        {"rotary_pct": 0.25, **_NO_GROUPS},
    ),
    Family(
        "falcon",
        "Falcon",
        "falcon",
        "one key head, attention beside the MLP",
        {"multi_query": True, "parallel_attn": True, "ffn_hidden_size": 96, **_NO_GROUPS},
    ),
    Family(
        "falcon40b",
        "Falcon 40B",
        "falcon",
        "grouped queries, two norms",
        {
            "new_decoder_architecture": True,
            "num_kv_heads": 2,
            "ffn_hidden_size": 96,
            **_NO_GROUPS,
        },
    ),
    Family(
        "falcon_rw",
        "Falcon RW",
        "falcon",
        "ALiBi, biases",
        {
            "alibi": True,
            "multi_query": False,
            "parallel_attn": False,
            "bias": True,
            "ffn_hidden_size": 96,
            **_NO_GROUPS,
        },
    ),
    Family(
        "internlm3",
        "InternLM 3",
        "internlm3",
        "biases, dynamic rotary scaling",
        {
            "qkv_bias": True,
            "bias": True,
            "head_dim": 16,
            "rope_parameters": _rope("dynamic", factor=2.0),
        },
    ),
    Family(
        "glm",
        "GLM-4 (2024)",
        "glm",
        "interleaved rotation of half of each head, fused MLP, biases",
        {"head_dim": 16, "attention_bias": True},
    ),
    Family(
        "glm4",
        "GLM-4 (0414)",
        "glm4",
        "as before, four norms a layer",
        {"head_dim": 16, "attention_bias": True},
    ),
    Family(
        "exaone4",
        "EXAONE 4",
        "exaone4",
        "norms behind blocks and of heads, windows, layers without positions",
        {"sliding_window": WINDOW, "num_hidden_layers": 4, "sliding_window_pattern": 4},
    ),
    Family(
        "nemotron",
        "Nemotron",
        "nemotron",
        "layer norms around one, squared ReLU, half of each head rotated",
        {"head_dim": 16},
    ),
    Family(
        "opt",
        "OPT",
        "opt",
        "learned positions with an offset, ReLU, biases",
        {"ffn_dim": 96, "intermediate_size": None, "word_embed_proj_dim": 64, **_NO_GROUPS},
    ),
    Family(
        "mpt",
        "MPT",
        "mpt",
        "ALiBi, no biases",
        {
            "d_model": 64,
            "n_heads": 4,
            "n_layers": LAYERS,
            "expansion_ratio": 2,
            "max_seq_len": CONTEXT,
            **without(
                "hidden_size",
                "intermediate_size",
                "num_hidden_layers",
                "num_attention_heads",
                "max_position_embeddings",
                "num_key_value_heads",
            ),
        },
    ),
)
