"""Model directories whose matrices are quantised, read as rows of storage formats."""

from headrace.checkpoint.quantised.checkpoint import open_directory

__all__ = ["open_directory"]
