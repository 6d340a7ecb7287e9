"""What a GGUF file says of its model, as arguments of transformers' configurations.

Each function reads one aspect out of the key-values and the presence of tensors; an architecture
(`gguf_architectures`) is a list of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from headrace.checkpoint.tensors import Checkpoint
from headrace.errors import MalformedFileError, UnsupportedModelError
from headrace.frontend.metadata import Metadata

Arguments: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Facts:
    """A file's key-values and tensors, and the sizes that most aspects need."""

    metadata: Metadata
    checkpoint: Checkpoint

    @property
    def hidden(self) -> int:
        return self.metadata.count("embedding_length")

    @property
    def heads(self) -> int:
        return self.metadata.count("attention.head_count")

    @property
    def kv_heads(self) -> int:
        return self.metadata.count("attention.head_count_kv", self.heads)

    @property
    def head(self) -> int:
        """Features of a head."""
        return self.metadata.count("attention.key_length", self.hidden // self.heads)

    @property
    def layers(self) -> int:
        return self.metadata.count("block_count")

    @property
    def tied(self) -> bool:
        """Whether the table of tokens is the head too."""
        return not self.has("output.weight")

    def has(self, tensor: str) -> bool:
        return tensor in self.checkpoint.names()

    def layer_has(self, part: str) -> bool:
        """Whether the first layer has such a tensor, e.g. `attn_q.bias`."""
        return self.has(f"blk.0.{part}")

    def require(self, key: str, expected: float) -> None:
        """Raise UnsupportedModelError if the file says something else than `expected`."""
        value = self.metadata.real(key, expected)
        if value != expected:
            raise UnsupportedModelError(
                f"'{self.metadata.architecture}.{key}' is {value:g}; "
                f"only {expected:g} is supported here",
                where=self.metadata.path,
            )


Aspect: TypeAlias = Callable[[Facts], Arguments]


def check_sizes(facts: Facts) -> None:
    """A header's sizes must be those of its tensors before anything is made as large as it says.

    Raises:
        MalformedFileError: a tensor is missing or of another shape.
        UnsupportedModelError: values of another size than keys, or experts.
    """
    facts.require("attention.value_length", facts.head)
    facts.require("expert_count", 0)
    _require_columns(facts, "token_embd.weight", None)
    rows = facts.heads * facts.head
    last = f"blk.{facts.layers - 1}."
    if facts.has(f"{last}attn_qkv.weight"):
        _require_columns(facts, f"{last}attn_qkv.weight", rows + 2 * facts.kv_heads * facts.head)
    else:
        _require_columns(facts, f"{last}attn_q.weight", rows)


def _require_columns(facts: Facts, tensor: str, rows: int | None) -> None:
    """A matrix whose rows multiply what runs between the layers."""
    shape = facts.checkpoint.tensor(tensor).shape
    if len(shape) != 2 or (rows or shape[0], facts.hidden) != shape:
        raise MalformedFileError(
            f"tensor '{tensor}' has the shape {list(shape)}, and the keys say "
            f"[{'vocabulary' if rows is None else rows}, {facts.hidden}]",
            where=str(facts.checkpoint.path),
        )


def sizes(facts: Facts) -> Arguments:
    """What nearly all configurations name alike."""
    return {
        "vocab_size": facts.checkpoint.tensor("token_embd.weight").shape[0],
        "hidden_size": facts.hidden,
        "intermediate_size": facts.metadata.count("feed_forward_length"),
        "num_hidden_layers": facts.layers,
        "num_attention_heads": facts.heads,
        "num_key_value_heads": facts.kv_heads,
        "max_position_embeddings": facts.metadata.count("context_length"),
        "tie_word_embeddings": facts.tied,
        "pad_token_id": 0,  # some configurations have one beyond small vocabularies
    }


def head(facts: Facts) -> Arguments:
    return {"head_dim": facts.head}


def even_heads(facts: Facts) -> Arguments:
    """Of models whose heads share the hidden size, always."""
    facts.require("attention.key_length", facts.hidden // facts.heads)
    return {}


def rms_norm(facts: Facts) -> Arguments:
    return {"rms_norm_eps": facts.metadata.real("attention.layer_norm_rms_epsilon")}


def layer_norm(argument: str) -> Aspect:
    return lambda facts: {argument: facts.metadata.real("attention.layer_norm_epsilon")}


def present(argument: str, *parts: str) -> Aspect:
    """True where the first layer has one of the tensors."""
    return lambda facts: {argument: any(map(facts.layer_has, parts))}


def given(argument: str, key: str, default: float | None = None) -> Aspect:
    """A number of the file; the default where it does not say (None: the key is needed)."""
    return lambda facts: {argument: facts.metadata.real(key, default)}


def maybe(argument: str, key: str) -> Aspect:
    """A number of the file, or None."""
    return lambda facts: {argument: facts.metadata.optional(key)}


def constant(**arguments: object) -> Aspect:
    return lambda _: arguments


def layer_types(period: int) -> Aspect:
    """Which layers look back through a window: all but the last of each period, unless said."""

    def read(facts: Facts) -> Arguments:
        key = "attention.sliding_window_pattern"
        windowed = facts.metadata.pattern(key, period, facts.layers)
        return {"layer_types": ["sliding_attention" if w else "full_attention" for w in windowed]}

    return read


def window(facts: Facts) -> Arguments:
    return {"sliding_window": facts.metadata.count("attention.sliding_window")}


def window_unless_zero(facts: Facts) -> Arguments:
    positions = facts.metadata.real("attention.sliding_window", 0)
    return {"sliding_window": int(positions) or None}


def no_window(facts: Facts) -> Arguments:
    """These architectures have windows in some files that llama.cpp itself does not apply."""
    positions = facts.metadata.real("attention.sliding_window", 0)
    if 0 < positions < facts.metadata.count("context_length"):
        raise UnsupportedModelError(
            f"a sliding window of {positions:g} in the architecture "
            f"'{facts.metadata.architecture}'",
            where=f"{facts.metadata.path}, key "
            f"'{facts.metadata.architecture}.attention.sliding_window'",
        )
    return {}
