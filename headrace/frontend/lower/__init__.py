"""One module a group of ATen operators; importing this package registers all their rules."""

from headrace.frontend.lower import (
    attention,
    embedding,
    linear,
    maps,
    norm_by_head,
    norms,
    parts,
    rope,
    views,
)

__all__ = [
    "attention",
    "embedding",
    "linear",
    "maps",
    "norm_by_head",
    "norms",
    "parts",
    "rope",
    "views",
]
