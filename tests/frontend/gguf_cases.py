"""Tiny configurations of every architecture that GGUF files are read of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import transformers as hf
from transformers import PretrainedConfig

VOCABULARY, CONTEXT, WINDOW = 96, 64, 8
_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GPT2 = {"vocab_size": VOCABULARY, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT}
_FALCON = {"num_key_value_heads": None, "max_position_embeddings": 2048, "intermediate_size": None}

# Sizes that a configuration does not have are given as None.
_DROPPED = {"num_key_value_heads", "intermediate_size"}


@dataclass(frozen=True)
class Case:
    """A configuration, and llama.cpp's name of its architecture."""

    name: str
    architecture: str
    make: Callable[[], PretrainedConfig]


def _case(name: str, architecture: str, kind: Any, /, **changes: Any) -> Case:
    sizes = {**_SIZES, **changes}
    given = {key: value for key, value in sizes.items() if key in changes or value is not None}
    given = {
        key: value for key, value in given.items() if value is not None or key == "pad_token_id"
    }
    return Case(name, architecture, lambda: kind(**given))


def _rope(kind: str, **others: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10000.0, **others}}


_LLAMA3 = _rope(
    "llama3",
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=32,
)
_LONG = _rope(
    "longrope",
    partial_rotary_factor=0.75,
    original_max_position_embeddings=WINDOW,  # so that the tests' texts are long ones
    short_factor=[1.0, 1.125, 1.25, 1.375, 1.5, 1.625],
    long_factor=[2.0, 2.5, 3.0, 3.5, 4.0, 4.5],
)

CASES: tuple[Case, ...] = (
    _case("llama", "llama", hf.LlamaConfig),
    _case("llama-heads", "llama", hf.LlamaConfig, head_dim=32, tie_word_embeddings=True),
    _case("llama3", "llama", hf.LlamaConfig, **_LLAMA3),
    _case("llama-linear", "llama", hf.LlamaConfig, **_rope("linear", factor=4.0)),
    _case(
        "llama-yarn",
        "llama",
        hf.LlamaConfig,
        **_rope("yarn", factor=4.0, original_max_position_embeddings=16),
    ),
    _case("llama-biases", "llama", hf.LlamaConfig, attention_bias=True, mlp_bias=True),
    _case("llama-qkv-biases", "llama", hf.Qwen2Config),
    _case("mistral", "llama", hf.MistralConfig, sliding_window=None),
    _case("qwen2", "qwen2", hf.Qwen2Config, tie_word_embeddings=True),
    _case("qwen3", "qwen3", hf.Qwen3Config, head_dim=32),
    _case("gemma", "gemma", hf.GemmaConfig, head_dim=32),
    _case(
        "gemma2",
        "gemma2",
        hf.Gemma2Config,
        head_dim=32,
        query_pre_attn_scalar=32,
        sliding_window=WINDOW,
        attn_logit_softcapping=2.0,
        final_logit_softcapping=3.0,
        num_hidden_layers=3,
    ),
    _case(
        "gemma3",
        "gemma3",
        hf.Gemma3TextConfig,
        num_hidden_layers=7,
        num_key_value_heads=1,
        head_dim=32,
        query_pre_attn_scalar=32,
        sliding_window=WINDOW,
    ),
    _case(
        "phi2",
        "phi2",
        hf.PhiConfig,
        num_key_value_heads=4,
        intermediate_size=256,
        partial_rotary_factor=0.5,
    ),
    _case("phi3", "phi3", hf.Phi3Config, sliding_window=WINDOW),
    _case("phi4", "phi3", hf.Phi3Config, original_max_position_embeddings=WINDOW, **_LONG),
    _case("smollm3", "smollm3", hf.SmolLM3Config, num_hidden_layers=5),
    _case("olmo", "olmo", hf.OlmoConfig, clip_qkv=0.5),
    _case("olmo2", "olmo2", hf.Olmo2Config),
    _case("olmo3", "olmo2", hf.Olmo3Config, num_hidden_layers=5, sliding_window=WINDOW),
    _case(
        "granite",
        "granite",
        hf.GraniteConfig,
        attention_bias=True,
        embedding_multiplier=6.0,
        residual_multiplier=0.25,
        attention_multiplier=0.125,
        logits_scaling=4.0,
    ),
    _case("command-r", "command-r", hf.CohereConfig, use_qk_norm=True, logit_scale=0.25),
    _case(
        "cohere2",
        "cohere2",
        hf.Cohere2Config,
        num_hidden_layers=5,
        sliding_window=WINDOW,
        logit_scale=0.25,
    ),
    _case("stablelm", "stablelm", hf.StableLmConfig, use_qkv_bias=True, partial_rotary_factor=0.25),
    _case(
        "stablelm-12b",
        "stablelm",
        hf.StableLmConfig,
        qk_layernorm=True,
        use_parallel_residual=True,
        partial_rotary_factor=0.25,
    ),
    _case("starcoder2", "starcoder2", hf.Starcoder2Config, use_bias=True),
    Case("gpt2", "gpt2", lambda: hf.GPT2Config(**_GPT2)),
    _case("gptneox", "gptneox", hf.GPTNeoXConfig, num_key_value_heads=None),
    _case(
        "gptneox-serial",
        "gptneox",
        hf.GPTNeoXConfig,
        num_key_value_heads=None,
        use_parallel_residual=False,
        partial_rotary_factor=0.5,
    ),
    _case("falcon-7b", "falcon", hf.FalconConfig, **_FALCON, multi_query=True),
    _case(
        "falcon-40b",
        "falcon",
        hf.FalconConfig,
        **_FALCON,
        new_decoder_architecture=True,
        num_kv_heads=2,
    ),
    _case(
        "falcon-11b",
        "falcon",
        hf.FalconConfig,
        **_FALCON,
        new_decoder_architecture=True,
        num_kv_heads=2,
        num_ln_in_parallel_attn=1,
        tie_word_embeddings=False,
    ),
    _case("internlm2", "internlm2", hf.LlamaConfig),
    _case("chatglm", "chatglm", hf.GlmConfig, head_dim=16),
    _case("glm4", "glm4", hf.Glm4Config, head_dim=16, attention_bias=False),
    _case("exaone", "exaone", hf.LlamaConfig),
    _case(
        "exaone4",
        "exaone4",
        hf.Exaone4Config,
        sliding_window=None,
        layer_types=["full_attention"] * 2,
    ),
    _case(
        "exaone4-windows", "exaone4", hf.Exaone4Config, num_hidden_layers=5, sliding_window=WINDOW
    ),
    _case("arcee", "arcee", hf.ArceeConfig, head_dim=16),
    _case("seed-oss", "seed_oss", hf.SeedOssConfig, head_dim=32),
    _case("nemotron", "nemotron", hf.NemotronConfig, head_dim=16),
    Case(
        "mpt",
        "mpt",
        lambda: hf.MptConfig(
            vocab_size=VOCABULARY,
            d_model=64,
            n_heads=4,
            n_layers=2,
            max_seq_len=CONTEXT,
        ),
    ),
)
