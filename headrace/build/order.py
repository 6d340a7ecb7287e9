"""What is to be compiled; here, so that whoever only orders it imports no compiler."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.build.options import Options
from headrace.codegen.target import Target


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be compiled, and the addresses it is kept under; fields as in `About`."""

    source: str
    path: str | None
    content: str
    toolchain: str
    options: Options
    target: Target
