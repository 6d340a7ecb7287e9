"""llama.cpp's architectures as transformers knows them: one line or a few for each.

Numbers that llama.cpp has in its code and not in the file stand here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import transformers as hf
from transformers import PretrainedConfig

from headrace.frontend import gguf_tensors as tensors
from headrace.frontend.gguf_facts import (
    Arguments,
    Aspect,
    Facts,
    constant,
    even_heads,
    given,
    head,
    layer_norm,
    layer_types,
    maybe,
    no_window,
    present,
    rms_norm,
    sizes,
    window,
    window_unless_zero,
)
from headrace.frontend.gguf_rotary import rotary, two_tables, whole_rotary
from headrace.frontend.gguf_tensors import Rule

#: The layers of the largest Gemma 2 and 3, whose attention scale differs.
GEMMA2_27B_LAYERS, GEMMA3_27B_LAYERS = 46, 62
GEMMA_GLOBAL_BASE, GEMMA_LOCAL_BASE = 1e6, 10000.0
#: transformers has this epsilon in OLMo 1's code.
OLMO_EPSILON = 1e-5


@dataclass(frozen=True, slots=True)
class Architecture:
    """How a configuration is made from a file's facts, and what undoes the converter's work."""

    make: Callable[[Facts], PretrainedConfig]
    rules: tuple[Rule, ...] = ()


def _config(kind: type[PretrainedConfig], *aspects: Aspect) -> Callable[[Facts], PretrainedConfig]:
    return lambda facts: kind(**_merged(facts, aspects))


def _merged(facts: Facts, aspects: tuple[Aspect, ...]) -> Arguments:
    return {name: value for aspect in aspects for name, value in aspect(facts).items()}


_QKV_BIAS = ("attn_q.bias", "attn_qkv.bias")
_BIASES = present("attention_bias", *_QKV_BIAS), present("mlp_bias", "ffn_up.bias")
_DENSE: tuple[Aspect, ...] = (sizes, rms_norm, no_window)
_GEMMA: tuple[Aspect, ...] = (sizes, head, rms_norm)


def _llama(facts: Facts) -> PretrainedConfig:
    """Llama itself, and Qwen2 under its name: biases of q, k and v alone."""
    aspects = (*_DENSE, head, whole_rotary)
    if facts.layer_has("attn_q.bias") and not facts.layer_has("attn_output.bias"):
        return hf.Qwen2Config(**_merged(facts, aspects))
    return hf.LlamaConfig(**_merged(facts, (*aspects, *_BIASES)))


def _gemma_scale(layers_of_27b: int) -> Aspect:
    """The largest model scales its scores by the size of a head as the others have it."""

    def read(facts: Facts) -> Arguments:
        largest = facts.layers == layers_of_27b
        return {"query_pre_attn_scalar": facts.hidden // facts.heads if largest else facts.head}

    return read


def _original_context(facts: Facts) -> Arguments:
    """Phi-3's length before LongRoPE."""
    context = facts.metadata.count("context_length")
    original = facts.metadata.count("rope.scaling.original_context_length", context)
    return {"original_max_position_embeddings": original}


def _olmo(facts: Facts) -> PretrainedConfig:
    facts.require("attention.layer_norm_epsilon", OLMO_EPSILON)
    aspects = (sizes, even_heads, whole_rotary, maybe("clip_qkv", "attention.clamp_kqv"))
    return hf.OlmoConfig(**_merged(facts, aspects))


def _olmo2(facts: Facts) -> PretrainedConfig:
    """OLMo 3 goes by OLMo 2's name, and differs in its windows."""
    if facts.metadata.has("attention.sliding_window"):
        aspects = (sizes, even_heads, rms_norm, two_tables(10000.0), window, layer_types(4))
        return hf.Olmo3Config(**_merged(facts, aspects))
    return hf.Olmo2Config(**_merged(facts, (sizes, even_heads, rms_norm, whole_rotary)))


def _without_positions(facts: Facts) -> Arguments:
    """SmolLM3: every fourth layer."""
    return {"no_rope_layers": [int((layer + 1) % 4 != 0) for layer in range(facts.layers)]}


def _exaone4(facts: Facts) -> PretrainedConfig:
    aspects: list[Aspect] = [sizes, head, rms_norm, whole_rotary]
    if facts.metadata.has("attention.sliding_window"):
        aspects += [window, layer_types(4)]
    else:
        full = ["full_attention"] * facts.layers
        aspects.append(constant(sliding_window=None, layer_types=full))
    return hf.Exaone4Config(**_merged(facts, tuple(aspects)))


def _granite_scale(facts: Facts) -> Arguments:
    usual = facts.head**-0.5
    return {"attention_multiplier": facts.metadata.optional("attention.scale") or usual}


def _parallel(facts: Facts) -> Arguments:
    """Attention beside the MLP: where it stands behind, the MLP has a norm of its own."""
    return {"use_parallel_residual": not facts.layer_has("ffn_norm.weight")}


def _gpt2(facts: Facts) -> PretrainedConfig:
    even_heads(facts)
    names = {
        "hidden_size": "n_embd",
        "intermediate_size": "n_inner",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "max_position_embeddings": "n_positions",
    }
    common = sizes(facts) | layer_norm("layer_norm_epsilon")(facts)
    common.pop("num_key_value_heads")
    return hf.GPT2Config(**{names.get(name, name): value for name, value in common.items()})


def _gptneox(facts: Facts) -> PretrainedConfig:
    bias = present("attention_bias", "attn_qkv.bias")
    aspects = (sizes, even_heads, layer_norm("layer_norm_eps"), rotary, bias)
    common = _merged(facts, aspects)
    common["use_parallel_residual"] = facts.metadata.flag("use_parallel_residual", True)
    common.pop("num_key_value_heads")
    return hf.GPTNeoXConfig(**common)


def _falcon(facts: Facts) -> PretrainedConfig:
    even_heads(facts)
    aspects = (sizes, layer_norm("layer_norm_epsilon"), whole_rotary)
    common = _merged(facts, aspects)
    groups, norms = common.pop("num_key_value_heads"), 1 + facts.layer_has("attn_norm_2.weight")
    grouped = groups > 1 or norms > 1
    common["ffn_hidden_size"] = common.pop("intermediate_size")
    return hf.FalconConfig(
        **common,
        num_kv_heads=groups if grouped else None,
        new_decoder_architecture=grouped,
        num_ln_in_parallel_attn=norms if grouped else None,
        multi_query=True,
        parallel_attn=True,
        alibi=False,
        bias=facts.layer_has("attn_qkv.bias"),
    )


def _mpt(facts: Facts) -> PretrainedConfig:
    even_heads(facts)
    facts.require("attention.head_count_kv", facts.heads)
    common = sizes(facts)
    return hf.MptConfig(
        vocab_size=common["vocab_size"],
        d_model=facts.hidden,
        n_heads=facts.heads,
        n_layers=facts.layers,
        max_seq_len=common["max_position_embeddings"],
        expansion_ratio=common["intermediate_size"] // facts.hidden,
        layer_norm_epsilon=facts.metadata.real("attention.layer_norm_epsilon"),
        tie_word_embeddings=facts.tied,
        attn_config={
            "alibi": True,
            "alibi_bias_max": int(facts.metadata.real("attention.max_alibi_bias")),
            "clip_qkv": facts.metadata.optional("attention.clamp_kqv"),
        },
    )


_PHI2 = _config(hf.PhiConfig, sizes, even_heads, layer_norm("layer_norm_eps"), rotary, no_window)
_SMOLLM3 = _config(
    hf.SmolLM3Config, *_DENSE, even_heads, whole_rotary, _without_positions, *_BIASES
)
_GEMMA2 = _config(
    hf.Gemma2Config,
    *_GEMMA,
    whole_rotary,
    given("attn_logit_softcapping", "attn_logit_softcapping", 50.0),
    given("final_logit_softcapping", "final_logit_softcapping", 30.0),
    window,
    layer_types(2),
    _gemma_scale(GEMMA2_27B_LAYERS),
)
_GEMMA3 = _config(
    hf.Gemma3TextConfig,
    *_GEMMA,
    two_tables(GEMMA_GLOBAL_BASE, GEMMA_LOCAL_BASE),
    maybe("attn_logit_softcapping", "attn_logit_softcapping"),
    maybe("final_logit_softcapping", "final_logit_softcapping"),
    window,
    layer_types(6),
    _gemma_scale(GEMMA3_27B_LAYERS),
)
_GRANITE = _config(
    hf.GraniteConfig,
    *_DENSE,
    even_heads,
    whole_rotary,
    *_BIASES,
    _granite_scale,
    given("embedding_multiplier", "embedding_scale", 1.0),
    given("residual_multiplier", "residual_scale", 1.0),
    given("logits_scaling", "logit_scale", 1.0),
)
_COHERE = _config(
    hf.CohereConfig,
    sizes,
    even_heads,
    layer_norm("layer_norm_eps"),
    whole_rotary,
    given("logit_scale", "logit_scale"),
    present("attention_bias", "attn_q.bias"),
    present("use_qk_norm", "attn_q_norm.weight"),
)
_COHERE2 = _config(
    hf.Cohere2Config,
    sizes,
    head,
    layer_norm("layer_norm_eps"),
    whole_rotary,
    given("logit_scale", "logit_scale"),
    present("attention_bias", "attn_q.bias"),
    window,
    layer_types(4),
)
_STABLELM = _config(
    hf.StableLmConfig,
    sizes,
    even_heads,
    layer_norm("layer_norm_eps"),
    rotary,
    present("use_qkv_bias", "attn_q.bias"),
    present("qk_layernorm", "attn_q_norm.weight"),
    _parallel,
)
_STARCODER2 = _config(
    hf.Starcoder2Config,
    sizes,
    even_heads,
    layer_norm("norm_epsilon"),
    whole_rotary,
    present("use_bias", "ffn_up.bias"),
    no_window,
)
_NEMOTRON = _config(
    hf.NemotronConfig, sizes, head, layer_norm("norm_eps"), rotary, *_BIASES, no_window
)
_SEED_OSS = _config(
    hf.SeedOssConfig,
    *_DENSE,
    head,
    whole_rotary,
    *_BIASES,
    present("attention_out_bias", "attn_output.bias"),
)
_GLM: tuple[Aspect, ...] = (sizes, head, rms_norm, rotary, present("attention_bias", *_QKV_BIAS))

#: Supported architectures, by their names in GGUF files.
ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "llama": Architecture(_llama, tensors.PAIRED_ROTARY),
        "qwen2": Architecture(_config(hf.Qwen2Config, *_DENSE, whole_rotary)),
        "qwen3": Architecture(
            _config(
                hf.Qwen3Config,
                *_DENSE,
                head,
                whole_rotary,
                present("attention_bias", "attn_q.bias"),
            )
        ),
        "gemma": Architecture(
            _config(hf.GemmaConfig, *_GEMMA, whole_rotary), tensors.NORMS_AROUND_ONE
        ),
        "gemma2": Architecture(_GEMMA2, tensors.NORMS_AROUND_ONE),
        "gemma3": Architecture(_GEMMA3, tensors.NORMS_AROUND_ONE),
        "phi2": Architecture(_PHI2),
        "phi3": Architecture(
            _config(
                hf.Phi3Config,
                sizes,
                even_heads,
                rms_norm,
                rotary,
                window_unless_zero,
                _original_context,
            )
        ),
        "smollm3": Architecture(_SMOLLM3, tensors.PAIRED_ROTARY),
        "olmo": Architecture(_olmo, tensors.PAIRED_ROTARY),
        "olmo2": Architecture(_olmo2),
        "granite": Architecture(_GRANITE, tensors.PAIRED_ROTARY),
        "command-r": Architecture(_COHERE),
        "cohere2": Architecture(_COHERE2),
        "stablelm": Architecture(_STABLELM, tensors.NORM_OF_EACH_HEAD),
        "starcoder2": Architecture(_STARCODER2),
        "gpt2": Architecture(_gpt2, tensors.TRANSPOSED),
        "gptneox": Architecture(_gptneox, tensors.QKV_BY_HEADS),
        "falcon": Architecture(_falcon, tensors.QKV_BY_GROUPS),
        "internlm2": Architecture(_llama, tensors.PAIRED_ROTARY),
        "chatglm": Architecture(_config(hf.GlmConfig, *_GLM)),
        "glm4": Architecture(_config(hf.Glm4Config, *_GLM)),
        "exaone": Architecture(_config(hf.LlamaConfig, *_DENSE, head, whole_rotary, *_BIASES)),
        "exaone4": Architecture(_exaone4),
        "nemotron": Architecture(_NEMOTRON, tensors.NORMS_AROUND_ONE),
        "mpt": Architecture(_mpt),
        "arcee": Architecture(
            _config(hf.ArceeConfig, *_DENSE, head, whole_rotary, *_BIASES), tensors.PAIRED_ROTARY
        ),
        "seed_oss": Architecture(_SEED_OSS),
    }
)
