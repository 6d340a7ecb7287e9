"""Code for another machine: every kernel and a whole program become AArch64 objects."""

from __future__ import annotations

import re
import struct

import pytest

from headrace.codegen import mathematics
from headrace.codegen.compile import compile_program
from headrace.codegen.isa import ISAS
from headrace.codegen.primitives import dot_feature
from headrace.codegen.product import product
from headrace.codegen.quantise import quantise_row
from headrace.codegen.rows import dequantise_row
from headrace.codegen.sampling import sample_token
from headrace.codegen.sweep import sweep_bytes
from headrace.codegen.target import (
    AARCH64,
    SPECIAL_FEATURES,
    Target,
    compile_object,
    optimise,
)
from headrace.codegen.tile_format import TILE_FORMATS, tile_format
from headrace.errors import MachineError
from headrace.passes.pipeline import map_program
from tests.codegen import attending, test_attention, test_row_kernels
from tests.codegen.arm import PROCESSORS
from tests.codegen.native import LOWERINGS, TARGETS, Kernel, elementwise, emit
from tests.codegen.test_mathematics import FUNCTIONS
from tests.ir.decoders import Decoder, program_of
from tests.passes import decoder as passes
from tests.passes.structures import EachFeature, Structured, Whole

#: `e_machine` of an ELF header (System V ABI).
ELF_MACHINES = {"x86_64": 62, "aarch64": 183}


def machine_of(code: bytes) -> int:
    assert code[:6] == b"\x7fELF\x02\x01"  # 64 bits, little endian
    return struct.unpack_from("<H", code, 18)[0]


def check(target: Target, *kernels: Kernel) -> None:
    module, _ = emit(target, *kernels)
    assert machine_of(compile_object(module, target)) == ELF_MACHINES[target.architecture]


#: One of each kind of code, scale and minimum; the other formats combine the same parts.
QUICK = ("f32", "bf16", "q4_1", "q5_k", "q6_k", "iq4_xs")
PRODUCTS = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in TILE_FORMATS
]


def product_kernel(name: str) -> Kernel:
    return lambda module, features: product(module, tile_format(name), features)


def assembly(target: Target, *kernels: Kernel) -> str:
    machine = target.machine()
    module, _ = emit(target, *kernels)
    module.data_layout = str(machine.target_data)
    return machine.emit_assembly(optimise(module, machine))


@pytest.mark.parametrize("name", PRODUCTS)
def test_products(name: str) -> None:
    check(AARCH64, product_kernel(name))


def test_small_kernels() -> None:
    check(
        AARCH64,
        quantise_row,
        sweep_bytes,
        lambda module, features: sample_token(module, features, 1000),
        *(elementwise(name, getattr(mathematics, name)) for name in FUNCTIONS),
    )


def test_row_kernels_and_embeddings() -> None:
    def row(name: str) -> Kernel:
        return lambda module, features: dequantise_row(module, features, name, 320)

    check(AARCH64, *test_row_kernels.kernels(), *map(row, ("q6_k", "f8_g64", "bf16")))


def test_attention_kernels() -> None:
    plain = (case for case in test_attention.CASES if case.lowering == "plain")
    case = next(case for case in plain if all((case.softcap, case.slopes, case.sinks)))
    check(AARCH64, *attending.kernels(case))


@pytest.mark.parametrize("target", [AARCH64, TARGETS["special"]], ids=lambda t: t.architecture)
def test_a_whole_program(target: Target) -> None:
    module = program_of(Decoder(head_norm=True, bias=True, post_norm=True, windows=(0, 8)))
    map_program(module, 2, "bf16")
    code, _ = compile_program(module, target, trace=True)
    assert machine_of(code) == ELF_MACHINES[target.architecture]


@pytest.mark.parametrize("structure", [Whole, EachFeature])
def test_programs_of_other_structures(structure: type[Structured]) -> None:
    module = structure(passes.Decoder(layers=2, format="f32")).module()
    map_program(module, 2)
    code, _ = compile_program(module, AARCH64)
    assert machine_of(code) == ELF_MACHINES["aarch64"]


def test_masked_features_are_gone() -> None:
    assert AARCH64.special == {"neon"}
    assert TARGETS["special"].special <= set(SPECIAL_FEATURES)
    assert TARGETS["avx2"].special <= {"avx2", "ssse3", "f16c", "neon", "dotprod", "i8mm"}
    assert TARGETS["plain"].special <= {"neon", "dotprod", "i8mm"}
    assert len({TARGETS[name].triple for name in LOWERINGS}) == 1


def x86(features: str) -> Target:
    return Target("x86_64-unknown-linux-gnu", "x86-64", features)


AVX512 = "+avx512f,+avx512bw,+avx512vl,+avx512dq"

#: For each lowering a target, and instructions of the product of 4 bits and of that of 8 bits.
DOTS = {
    "avx512vnni": (x86(f"{AVX512},+avx512vnni"), "vpdpbusd.*zmm", "vpdpbusd.*zmm"),
    "avx512bw": (x86(AVX512), "vpmaddubsw.*zmm", "vpmaddwd.*zmm"),
    "avxvnni": (x86("+ssse3,+avx2,+avxvnni,+f16c,+fma"), "vpdpbusd.*ymm", "vpdpbusd.*ymm"),
    "avx2": (x86("+ssse3,+avx2,+f16c,+fma"), "vpmaddubsw.*ymm", "vpmaddwd.*ymm"),
    "ssse3": (x86("+ssse3"), "pmaddubsw.*xmm", "pmaddwd.*xmm"),
    "i8mm": (PROCESSORS["i8mm"].target, "usdot", "usdot"),
    "dotprod": (PROCESSORS["dotprod"].target, "sdot", "sdot"),
    "neon": (PROCESSORS["neon"].target, "smull", "smull"),
}
#: What processors without a feature do not have.
REGISTERS = {"avxvnni": "zmm", "avx2": "zmm", "ssse3": "ymm", "dotprod": "usdot", "neon": "sdot"}


@pytest.mark.parametrize("name", DOTS)
def test_products_use_the_instructions_of_the_target(name: str) -> None:
    target, *expected = DOTS[name]
    assert dot_feature(target.special) == name
    for stored, instruction in zip(("q4_0", "q8_0"), expected, strict=True):
        text = assembly(target, product_kernel(stored))
        assert re.search(instruction, text)
        assert name not in REGISTERS or REGISTERS[name] not in text


def test_an_instruction_set_is_a_limit() -> None:
    present = [name for name, isa in ISAS.items() if isa.needs in TARGETS["special"].enabled]
    assert present
    for name in present:
        target = Target.host(name)
        assert not [each for each in target.enabled if each.startswith(ISAS[name].without)]
        assert ISAS[name].needs in target.enabled


def test_an_instruction_set_that_is_not_there() -> None:
    missing = next(name for name in ISAS if ISAS[name].needs not in TARGETS["special"].enabled)
    with pytest.raises(MachineError, match=f"has no {missing}") as caught:
        Target.host(missing)
    assert caught.value.where == "isa"
