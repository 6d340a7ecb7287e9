"""The machine that code is generated for, and the way from LLVM IR to an object file."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import llvmlite.binding as llvm
from llvmlite import ir

from headrace.codegen.isa import ISAS
from headrace.errors import MachineError

#: Instruction-set features for which a primitive has a lowering of its own.
SPECIAL_FEATURES = (
    "avx512vnni",
    "avx512bw",
    "avx512f",
    "avxvnni",
    "avx2",
    "ssse3",
    "f16c",
    "i8mm",
    "dotprod",
    "neon",
)


@functools.cache
def _initialise() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


@dataclass(frozen=True, slots=True)
class Target:
    """An LLVM target: triple, processor name and feature string."""

    triple: str
    cpu: str
    features: str

    @classmethod
    def host(cls, isa: str | None = None, *, without: tuple[str, ...] = ()) -> Target:
        """This machine, less the LLVM features whose names start with one of `without`.

        isa: code for no more than an instruction set, by its name in `ISAS`; None takes all.

        Raises:
            MachineError: this machine does not have the instruction set.
        """
        found = dict(llvm.get_host_cpu_features())
        if isa is not None:
            _require(isa, found)
            without += ISAS[isa].without
        found.update({name: False for name in found if name.startswith(without)})
        text = ",".join(f"{'+' if on else '-'}{name}" for name, on in sorted(found.items()))
        return cls(llvm.get_default_triple(), llvm.get_host_cpu_name(), text)

    @property
    def enabled(self) -> frozenset[str]:
        """The features that code for it may use."""
        items = self.features.split(",")
        return frozenset(item[1:] for item in items if item.startswith("+"))

    @property
    def special(self) -> frozenset[str]:
        """The special features that kernels may use."""
        return self.enabled & set(SPECIAL_FEATURES)

    @property
    def architecture(self) -> str:
        """The first component of the triple, such as `x86_64` or `aarch64`."""
        return self.triple.split("-")[0]

    def machine(self) -> llvm.TargetMachine:
        _initialise()
        return llvm.Target.from_triple(self.triple).create_target_machine(
            cpu=self.cpu, features=self.features, opt=3, reloc="pic", codemodel="small"
        )


def _require(isa: str, features: Mapping[str, bool]) -> None:
    if not features.get(ISAS[isa].needs, False):
        present = [name for name, each in ISAS.items() if features.get(each.needs, False)]
        raise MachineError(
            f"this processor ({llvm.get_host_cpu_name()}) has no {isa}",
            where="isa",
            hint=f"one of: {', '.join(present)}",
        )


#: A target for checks that code compiles elsewhere.
AARCH64 = Target("aarch64-unknown-linux-gnu", "generic", "+neon")


def optimise(module: ir.Module, machine: llvm.TargetMachine) -> llvm.ModuleRef:
    """Parse, verify and optimise a module for a machine."""
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = False
    options.slp_vectorization = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(parsed, builder)
    return parsed


def compile_object(module: ir.Module, target: Target) -> bytes:
    """Native object code of a module."""
    machine = target.machine()
    module.triple = target.triple
    module.data_layout = str(machine.target_data)
    return machine.emit_object(optimise(module, machine))


class NativeLibrary:
    """Object code loaded into this process; functions are looked up by name."""

    def __init__(self, code: bytes, exports: tuple[str, ...], target: Target) -> None:
        self._jit = llvm.create_lljit_compiler(target.machine())
        library = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
        for name in exports:
            library.export_symbol(name)
        self._tracker = library.link(self._jit, "headrace")

    def address(self, name: str) -> int:
        return self._tracker[name]
