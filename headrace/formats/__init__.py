"""Storage formats of weights: how values are laid out in bytes, decoded exactly, and encoded."""
