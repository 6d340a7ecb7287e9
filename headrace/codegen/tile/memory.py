"""Memory in the tile language: addresses, loads and stores, atomics, prefetches."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir
from llvmlite.ir.instructions import StoreAtomicInstr

from headrace.codegen.tile.core import Core
from headrace.codegen.tile.types import (
    CACHE_LINE,
    I8,
    I64,
    PTR,
    VOID,
    Locality,
    element_of,
    mangle,
    size_of,
)
from headrace.codegen.tile.value import Raw, Value


class Memory(Core):
    """Reading and writing memory; no access needs more alignment than its element."""

    def offset(self, pointer: Value, count: Value | int, type: ir.Type = I8) -> Value:
        """The address `count` elements of `type` after `pointer`."""
        index = self.like(count, I64)
        return Value(self, self.builder.gep(pointer.raw, [index.raw], source_etype=type))

    def address(self, pointer: Value) -> Value:
        """A pointer as i64."""
        return Value(self, self.builder.ptrtoint(pointer.raw, I64))

    def load(self, pointer: Value, type: ir.Type, mask: Value | None = None) -> Value:
        """Load; with a mask, lanes that it leaves out are zero and not read."""
        if mask is None:
            align = size_of(element_of(type))
            return Value(self, self.builder.load(pointer.raw, typ=type, align=align))
        name = f"llvm.masked.load.{mangle(type)}.p0"
        zero = ir.Constant(type, None)
        return self.intrinsic(name, type, pointer, mask, Value(self, zero))

    def store(self, value: Value, pointer: Value, mask: Value | None = None) -> None:
        """Store; with a mask, lanes that it leaves out are not written."""
        if mask is None:
            align = size_of(element_of(value.type))
            self.builder.store(value.raw, pointer.raw, align=align)
            return
        name = f"llvm.masked.store.{mangle(value.type)}.p0"
        self.intrinsic(name, VOID, value, pointer, mask)

    def opaque(self, pointer: Value) -> Value:
        """The same address, of which the optimiser knows nothing."""
        assembly = ir.InlineAsm(ir.FunctionType(PTR, [PTR]), "", "=r,0", side_effect=True)
        return Value(self, self.builder.call(assembly, [pointer.raw]))

    def in_order(self) -> None:
        """Loads and stores that follow stay behind those before, in this thread's code."""
        type = ir.FunctionType(VOID, [])
        self.builder.call(ir.InlineAsm(type, "", "~{memory}", side_effect=True), [])

    # between threads

    def load_acquire(self, pointer: Value, type: ir.Type, ordering: str = "acquire") -> Value:
        raw = self.builder.load_atomic(pointer.raw, ordering, size_of(type), typ=type)
        return Value(self, raw)

    def store_release(self, value: Value, pointer: Value, ordering: str = "release") -> None:
        # IRBuilder.store_atomic of llvmlite 0.50 asks opaque pointers for a pointee.
        block, align = self.builder.block, size_of(value.type)
        store = StoreAtomicInstr(block, value.raw, pointer.raw, ordering, align)
        self.builder._insert(store)

    def atomic_add(self, pointer: Value, value: Value) -> Value:
        """Sequentially consistent fetch-and-add; the old value."""
        return Value(self, self.builder.atomic_rmw("add", pointer.raw, value.raw, "seq_cst"))

    def prefetch(self, pointer: Value, locality: Locality) -> None:
        """Ask for the cache line at `pointer`."""
        arguments = (pointer, self.i32(0), self.i32(locality), self.i32(1))
        self.intrinsic("llvm.prefetch.p0", VOID, *arguments)

    def prefetch_lines(self, pointer: Value, bytes: int, locality: Locality) -> None:
        """Ask for the cache lines of `bytes` from `pointer` on, one instruction each."""
        for line in range(0, bytes, CACHE_LINE):
            self.prefetch(self.offset(pointer, line), locality)

    # memory of the code itself

    def stack(self, bytes: int, align: int = 64) -> Value:
        """Memory of the current call."""
        with self.builder.goto_entry_block():
            slot = self.builder.alloca(ir.ArrayType(I8, bytes))
        slot.align = align
        slot.type = PTR  # llvmlite gives allocations a typed pointer
        return Value(self, slot)

    def table(self, values: Sequence[float], name: str, element: ir.Type = I64) -> Value:
        """The address of a constant table of numbers."""
        type = ir.ArrayType(element, len(values))
        table: Raw = ir.GlobalVariable(self.module, type, self.module.get_unique_name(name))
        table.global_constant, table.linkage = True, "internal"
        table.initializer = ir.Constant(type, [ir.Constant(element, value) for value in values])
        table.type = PTR  # llvmlite gives globals a typed pointer
        return Value(self, table)
