"""Mapped program → native code: the tile language, the kernels, the targets."""
