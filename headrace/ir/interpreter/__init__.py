"""The NumPy interpreter: what a program means, at every level."""

from __future__ import annotations

from headrace.ir.interpreter.interpreter import Interpreter

__all__ = ["Interpreter"]
