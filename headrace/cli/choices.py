"""What several commands let choose; here, so that none of them imports the engine for it."""

from __future__ import annotations

from typing import Literal

#: As `headrace.build.Weights`.
Weights = Literal["auto", "f32", "bf16", "q8", "q4"]

#: As `headrace.build.Kv`.
Kv = Literal["auto", "f32", "f16", "bf16", "q8"]

#: As `headrace.build.Isa`.
Isa = Literal["avx512", "avx-vnni", "avx2", "avx", "i8mm", "dotprod", "neon"]

#: As `headrace.build.Mapping`.
Mapping = Literal["auto", "rows", "columns"]
