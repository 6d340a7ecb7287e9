"""The tensors of a model of random weights, under llama.cpp's names, generated one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import pi

import numpy as np
from numpy.typing import NDArray

from headrace.checkpoint.shapes import Llama3Scaling, Shape
from headrace.formats.random_blocks import random_matrix
from headrace.formats.storage import FORMATS, StorageFormat

F32 = FORMATS["f32"]
_PIECE = 1 << 24  # values


@dataclass(frozen=True, slots=True)
class Planned:
    """A tensor to write: PyTorch's shape, and whether it is a matrix, a norm, or rotary factors."""

    name: str
    shape: tuple[int, ...]
    format: StorageFormat

    @property
    def nbytes(self) -> int:
        rows = self.shape[0] if len(self.shape) == 2 else 1
        return rows * self.format.row_bytes(self.shape[-1])


def plan(shape: Shape, format: StorageFormat) -> Iterator[Planned]:
    """All tensors in file order: matrices in `format`, norms and rotary factors in f32."""
    yield Planned("token_embd.weight", (shape.vocabulary, shape.hidden), format)
    if shape.rope_scaling is not None:
        yield Planned("rope_freqs.weight", (shape.head_dim // 2,), F32)
    for layer in range(shape.layers):
        yield from _plan_layer(shape, f"blk.{layer}.", format)
    yield Planned("output_norm.weight", (shape.hidden,), F32)
    if not shape.tied:
        yield Planned("output.weight", (shape.vocabulary, shape.hidden), format)


def _plan_layer(shape: Shape, prefix: str, format: StorageFormat) -> Iterator[Planned]:
    hidden, wide = shape.hidden, shape.intermediate
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    matrices = {
        "attn_q": (queries, hidden),
        "attn_k": (keys, hidden),
        "attn_v": (keys, hidden),
        "attn_output": (hidden, queries),
        "ffn_gate": (wide, hidden),
        "ffn_up": (wide, hidden),
        "ffn_down": (hidden, wide),
    }
    norms = {"attn_norm": hidden, "ffn_norm": hidden}
    if shape.architecture in ("qwen3", "gemma3"):
        norms |= {"attn_q_norm": shape.head_dim, "attn_k_norm": shape.head_dim}
    if shape.architecture == "gemma3":
        norms |= {"post_attention_norm": hidden, "post_ffw_norm": hidden}
    for name, length in norms.items():
        yield Planned(f"{prefix}{name}.weight", (length,), F32)
    for name, size in matrices.items():
        yield Planned(f"{prefix}{name}.weight", size, format)


def generate(shape: Shape, planned: Planned, seed: int) -> NDArray[np.uint8]:
    """The bytes of a planned tensor, [rows, row_bytes]; they depend on its name and the seed."""
    key = hashlib.sha256(f"{seed}/{planned.name}".encode()).digest()
    random = np.random.Generator(np.random.PCG64(int.from_bytes(key[:16], "little")))
    if planned.name == "rope_freqs.weight" and shape.rope_scaling is not None:
        factors = rope_factors(shape.rope_base, shape.head_dim, shape.rope_scaling)
        return F32.quantise(factors[None])
    if len(planned.shape) == 1:
        near_one = 1 + 0.1 * random.standard_normal((1, planned.shape[0]), np.float32)
        return F32.quantise(near_one)
    return _matrix(random, planned.format, *planned.shape)


def _matrix(
    random: np.random.Generator, format: StorageFormat, rows: int, cols: int
) -> NDArray[np.uint8]:
    """A matrix made in pieces: those of floats are many times as large on their way."""
    made = np.empty((rows, format.row_bytes(cols)), np.uint8)
    piece = max(1, _PIECE // cols)
    for start in range(0, rows, piece):
        part = made[start : start + piece]
        part[:] = random_matrix(random, format, len(part), cols)
    return made


def rope_factors(base: float, head_dim: int, scaling: Llama3Scaling) -> NDArray[np.float32]:
    """What llama.cpp divides each rotary frequency by, [head_dim / 2].

    The `llama3` rotary scaling (transformers' `_compute_llama3_parameters`), as a divisor.
    """
    frequencies = base ** -(np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    turns = scaling.original_context * frequencies / (2 * pi)
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return (1 / ((1 - kept) / scaling.factor + kept)).astype(np.float32)
