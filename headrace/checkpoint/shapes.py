"""Shapes of real models, for random weights: what a published `config.json` says about size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Architecture = Literal["llama", "qwen3", "gemma3"]


@dataclass(frozen=True, slots=True)
class Llama3Scaling:
    """The rotary scaling of Llama 3.1 and later (`rope_type: llama3`)."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_context: int


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a dense decoder; `architecture` is llama.cpp's name of the family."""

    architecture: Architecture
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context: int
    rope_base: float
    norm_eps: float
    tied: bool
    rope_scaling: Llama3Scaling | None = None
    sliding_window: int | None = None


SHAPES: dict[str, Shape] = {
    "llama-3.2-1b": Shape(
        "llama",
        layers=16,
        hidden=2048,
        intermediate=8192,
        heads=32,
        kv_heads=8,
        head_dim=64,
        vocabulary=128256,
        context=131072,
        rope_base=500000.0,
        norm_eps=1e-5,
        tied=True,
        rope_scaling=Llama3Scaling(32.0, 1.0, 4.0, 8192),
    ),
    "llama-3.2-3b": Shape(
        "llama",
        layers=28,
        hidden=3072,
        intermediate=8192,
        heads=24,
        kv_heads=8,
        head_dim=128,
        vocabulary=128256,
        context=131072,
        rope_base=500000.0,
        norm_eps=1e-5,
        tied=True,
        rope_scaling=Llama3Scaling(32.0, 1.0, 4.0, 8192),
    ),
    "llama-3.1-8b": Shape(
        "llama",
        layers=32,
        hidden=4096,
        intermediate=14336,
        heads=32,
        kv_heads=8,
        head_dim=128,
        vocabulary=128256,
        context=131072,
        rope_base=500000.0,
        norm_eps=1e-5,
        tied=False,
        rope_scaling=Llama3Scaling(8.0, 1.0, 4.0, 8192),
    ),
    "smollm2-135m": Shape(
        "llama",
        layers=30,
        hidden=576,
        intermediate=1536,
        heads=9,
        kv_heads=3,
        head_dim=64,
        vocabulary=49152,
        context=8192,
        rope_base=100000.0,
        norm_eps=1e-5,
        tied=True,
    ),
    "qwen3-0.6b": Shape(
        "qwen3",
        layers=28,
        hidden=1024,
        intermediate=3072,
        heads=16,
        kv_heads=8,
        head_dim=128,
        vocabulary=151936,
        context=40960,
        rope_base=1000000.0,
        norm_eps=1e-6,
        tied=True,
    ),
    "gemma3-270m": Shape(
        "gemma3",
        layers=18,
        hidden=640,
        intermediate=2048,
        heads=4,
        kv_heads=1,
        head_dim=256,
        vocabulary=262144,
        context=32768,
        rope_base=1000000.0,
        norm_eps=1e-6,
        tied=True,
        sliding_window=512,
    ),
    "tiny-llama": Shape(
        "llama",
        layers=2,
        hidden=64,
        intermediate=192,
        heads=4,
        kv_heads=2,
        head_dim=16,
        vocabulary=384,
        context=512,
        rope_base=10000.0,
        norm_eps=1e-5,
        tied=False,
    ),
    "tiny-llama3": Shape(
        "llama",
        layers=2,
        hidden=64,
        intermediate=192,
        heads=4,
        kv_heads=2,
        head_dim=16,
        vocabulary=384,
        context=2048,
        rope_base=500000.0,
        norm_eps=1e-5,
        tied=True,
        rope_scaling=Llama3Scaling(8.0, 1.0, 4.0, 256),
    ),
    "tiny-qwen3": Shape(
        "qwen3",
        layers=2,
        hidden=64,
        intermediate=192,
        heads=4,
        kv_heads=2,
        head_dim=32,
        vocabulary=384,
        context=512,
        rope_base=1000000.0,
        norm_eps=1e-6,
        tied=True,
    ),
    "tiny-gemma3": Shape(
        "gemma3",
        layers=7,
        hidden=64,
        intermediate=192,
        heads=4,
        kv_heads=1,
        head_dim=32,
        vocabulary=384,
        context=512,
        rope_base=1000000.0,
        norm_eps=1e-6,
        tied=True,
        sliding_window=16,
    ),
    # Its weights stay in the caches of two cores or more: what it takes is not the memory's time.
    "in-cache": Shape(
        "llama",
        layers=2,
        hidden=256,
        intermediate=768,
        heads=4,
        kv_heads=2,
        head_dim=64,
        vocabulary=512,
        context=2048,
        rope_base=10000.0,
        norm_eps=1e-5,
        tied=True,
    ),
}
