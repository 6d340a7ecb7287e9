"""PyTorch module → captured `step` program; the only package that imports torch."""
