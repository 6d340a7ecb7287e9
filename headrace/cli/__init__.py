"""`headrace` on a terminal."""

from headrace.cli.main import main

__all__ = ["main"]
