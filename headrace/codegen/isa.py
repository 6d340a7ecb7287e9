"""Instruction sets that code may be limited to, to compare them on one machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Isa:
    """An instruction set, in names of LLVM features.

    Attributes:
        needs: the feature that a machine must have.
        without: how the names of the features start that go beyond it.
    """

    needs: str
    without: tuple[str, ...] = ()


_WIDE = ("avx512", "avx10", "amx")
_AFTER_AVX2 = (*_WIDE, "avxvnni", "avxifma", "avxneconvert")
#: Some of these are on their own, and switch on what they build on.
_AFTER_AVX = (*_AFTER_AVX2, "avx2", "f16c", "vaes", "sha512", "sm3", "sm4")
_MATRICES = ("i8mm", "bf16", "sve", "sme")

#: By the names that users give. Those of a machine's architecture are the ones it may have.
ISAS: Mapping[str, Isa] = {
    "avx512": Isa("avx512bw"),
    "avx-vnni": Isa("avxvnni", _WIDE),
    "avx2": Isa("avx2", _AFTER_AVX2),
    "avx": Isa("avx", _AFTER_AVX),
    "i8mm": Isa("i8mm"),
    "dotprod": Isa("dotprod", _MATRICES),
    "neon": Isa("neon", (*_MATRICES, "dotprod", "fullfp16", "fp16fml")),
}
