"""What llama.cpp's converter did to tensors on the way into a GGUF file, undone by bindings.

The rules are those of its `convert_hf_to_gguf.py`, one for each way of storing; which of them an
architecture needs stands in `gguf_architectures`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from transformers import PretrainedConfig

from headrace.checkpoint.binding import Binding, unpermuted
from headrace.checkpoint.row_view import JoinedViews, RowView


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the module that is bound to a tensor of the file.

    Attributes:
        name: in the module.
        shape: in the module.
        tensor: in the file.
    """

    name: str
    shape: tuple[int, ...]
    tensor: str
    config: PretrainedConfig


Undo: TypeAlias = Callable[[Parameter], Binding]


@dataclass(frozen=True, slots=True)
class Rule:
    """How parameters whose names contain `pattern` are found in their tensors.

    Attributes:
        known_as: the replacement that makes the name one that GGUF has a name for.
    """

    pattern: str
    undo: Undo
    known_as: str | None = None

    def matches(self, name: str) -> bool:
        return re.search(self.pattern, name) is not None

    def known_name(self, name: str) -> str:
        return name if self.known_as is None else re.sub(self.pattern, self.known_as, name)


def _unpermuted(heads: str) -> Undo:
    def undo(parameter: Parameter) -> Binding:
        count = getattr(parameter.config, heads)
        return Binding(parameter.tensor, (unpermuted(parameter.shape[0], count),))

    return undo


def _minus_one(parameter: Parameter) -> Binding:
    return Binding(parameter.tensor, add=-1.0)


def _transposed(parameter: Parameter) -> Binding:
    return Binding(parameter.tensor, transpose=True)


def _heads_of_thirds(parameter: Parameter) -> Binding:
    """q, k and v one after the other in the file; q, k and v of each head in the module."""
    rows = parameter.shape[0]
    heads = parameter.config.num_attention_heads
    head = rows // heads // 3
    return Binding(parameter.tensor, (RowView(0, ((heads, head), (3, heads * head), (head, 1))),))


def _groups_of_heads(parameter: Parameter) -> Binding:
    """As above, where a group of query heads has one key and one value head (Falcon)."""
    config = parameter.config
    head = config.hidden_size // config.num_attention_heads
    groups = parameter.shape[0] // head - config.num_attention_heads
    groups //= 2
    queries = config.num_attention_heads // groups * head
    keys, values = groups * queries, groups * (queries + head)
    views = [
        RowView(start, ((count, 1),))
        for group in range(groups)
        for start, count in (
            (group * queries, queries),
            (keys + group * head, head),
            (values + group * head, head),
        )
    ]
    return Binding(parameter.tensor, (JoinedViews(tuple(views)),))


def _one_row(parameter: Parameter) -> Binding:
    """The norms of all heads are one matrix in the file."""
    number = re.search(r"\.norms\.(\d+)\.", parameter.name)
    row = 0 if number is None else int(number[1])
    return Binding(parameter.tensor, (RowView(row, ((1, 1),)),), flat=True)


#: Llama's published rotary layout, pairs of neighbours, which llama.cpp keeps.
PAIRED_ROTARY = (
    Rule(r"q_proj\.(weight|bias)$", _unpermuted("num_attention_heads")),
    Rule(r"k_proj\.(weight|bias)$", _unpermuted("num_key_value_heads")),
)
#: The file holds 1 + w where the module adds the one itself.
NORMS_AROUND_ONE = (Rule(r"norm\.weight$", _minus_one),)
#: Modules with Conv1D.
TRANSPOSED = (Rule(r"\.(c_attn|c_proj|c_fc)\.weight$", _transposed),)
QKV_BY_HEADS = (Rule(r"query_key_value\.(weight|bias)$", _heads_of_thirds),)
QKV_BY_GROUPS = (Rule(r"query_key_value\.(weight|bias)$", _groups_of_heads),)
NORM_OF_EACH_HEAD = (Rule(r"\.norms\.\d+\.weight$", _one_row, ".weight"),)
