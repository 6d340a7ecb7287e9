"""Architectures of transformers beyond the matrix, tried without a change to headrace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.families.catalogue import CONTEXT, LAYERS, WINDOW, Family, without

_ALONE = without("num_key_value_heads")
_GPT2 = {
    **without(
        "num_key_value_heads",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "max_position_embeddings",
    ),
    "n_embd": 64,
    "n_layer": LAYERS,
    "n_head": 4,
    "n_positions": CONTEXT,
    "n_inner": 96,
}
_XGLM = {
    **without(
        "num_key_value_heads",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
    ),
    "d_model": 64,
    "ffn_dim": 96,
    "num_layers": LAYERS,
    "attention_heads": 4,
}
_LATENT = {
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
    "num_key_value_heads": 4,
}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}


@dataclass(frozen=True)
class Refused:
    """An architecture that cannot be lowered, and a part of the message that says why."""

    family: Family
    why: str
    message: str


def _family(kind: str, shows: str, **changes: Any) -> Family:
    return Family(kind, kind, kind, shows, changes)


WORKING: tuple[Family, ...] = (
    _family("apertus", "an activation with learned numbers, chosen by a comparison"),
    _family("arcee", "squared ReLU without a gate"),
    _family("biogpt", "learned positions with an offset, scaled embeddings", **_ALONE),
    _family("bitnet", "norms inside of attention and MLP"),
    _family(
        "bloom",
        "ALiBi and attention written out with `baddbmm`, a norm behind the embedding",
        **{
            **_ALONE,
            "intermediate_size": None,
            "num_hidden_layers": None,
            "num_attention_heads": None,
            "max_position_embeddings": None,
            "n_layer": LAYERS,
            "n_head": 4,
            "seq_length": CONTEXT,
        },
    ),
    _family(
        "codegen",
        "rotation in pairs of a part of each head, projections fused in four groups, attention "
        "written out",
        **{**_GPT2, "rotary_dim": 8, "n_ctx": CONTEXT},
    ),
    _family("cwm", "sliding windows, scaled rotary positions", head_dim=16, sliding_window=WINDOW),
    _family("ernie4_5", "rotation in pairs", head_dim=16),
    _family("gpt_bigcode", "one key head in a fused projection, learned positions", **_GPT2),
    _family(
        "gpt_neo",
        "local attention in every other layer by a buffer, attention written out",
        **{
            **_ALONE,
            "num_layers": LAYERS,
            "num_heads": 4,
            "num_hidden_layers": None,
            "num_attention_heads": None,
            "attention_types": [[["global", "local"], 1]],
            "window_size": WINDOW,
        },
    ),
    _family("gpt_neox_japanese", "biases behind the products", **{**_ALONE, "rotary_pct": 0.5}),
    _family(
        "gptj",
        "rotation in pairs of a part of each head from a table, attention written out",
        **{**_GPT2, "rotary_dim": 8},
    ),
    _family("granite_swa", "attention sinks, sliding windows", sliding_window=WINDOW),
    _family("helium", "rotation in pairs", head_dim=16),
    _family("hunyuan_v1_dense", "norms of heads behind the rotation", head_dim=16),
    _family("hyperclovax", "multipliers of embeddings, residuals and scores"),
    _family("iquestcoder", "as Llama"),
    _family("jais2", "layer norms, squared ReLU without a gate"),
    _family("ministral", "sliding windows", head_dim=16, sliding_window=WINDOW),
    _family(
        "modernbert-decoder",
        "layer norms, fused projections, two rotary tables, local attention",
        local_attention=2 * WINDOW,
        global_attn_every_n_layers=2,
    ),
    _family("nanochat", "norms without weights, soft caps, a rotation backwards"),
    _family("openai-gpt", "norms behind blocks, a mask of zeros and ones", **_GPT2),
    _family("persimmon", "layer norms of heads, squared ReLU, half of each head rotated", **_ALONE),
    _family("seed_oss", "biases", head_dim=16),
    _family(
        "vaultgemma",
        "soft caps, sliding windows",
        head_dim=16,
        sliding_window=WINDOW,
        query_pre_attn_scalar=16,
    ),
)

_MIXTURE = "a mixture of experts: tokens are sorted by expert"
_LATENT_WHY = "latent attention: a head is joined of a rotated part and another product"
_TABLE_WHY = "a computed table of positions is added to the embeddings"

REFUSED: tuple[Refused, ...] = (
    Refused(_family("ctrl", "", **{**_GPT2, "dff": 96}), _TABLE_WHY, "a table of positions"),
    Refused(
        _family("deepseek_v3", "", **_LATENT, first_k_dense_replace=2), _LATENT_WHY, "self_attn"
    ),
    Refused(
        _family("diffllama", ""),
        "the difference of two attentions, weighted by a function of parameters",
        "aten.repeat.default",
    ),
    Refused(_family("doge", ""), "residuals weighted by a vector", "arithmetic with a parameter"),
    Refused(
        _family("gpt_oss", "", num_local_experts=4, head_dim=16), _MIXTURE, "aten.topk.default"
    ),
    Refused(
        _family("mamba", "", **{**_ALONE, "state_size": 4}),
        "a recurrence, written as a loop over tokens",
        "number of tokens for a constant",
    ),
    Refused(_family("minicpm3", "", **_LATENT), _LATENT_WHY, "self_attn"),
    Refused(
        _family("ministral3", ""),
        "queries scaled by a function of their position",
        "a table of positions",
    ),
    Refused(_family("mixtral", "", num_local_experts=4), _MIXTURE, "aten.topk.default"),
    Refused(_family("qwen2_moe", "", **_EXPERTS), _MIXTURE, "aten.topk.default"),
    Refused(_family("xglm", "", **_XGLM), _TABLE_WHY, "a table of positions"),
    Refused(_family("youtu", "", **_LATENT, head_dim=8), _LATENT_WHY, "self_attn"),
)
