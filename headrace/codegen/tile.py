"""The tile language: a thin layer over `llvmlite.ir` in which kernels are written.

A kernel is a Python function that emits code through an `Emitter`: values have operators, loops
are `with` statements, Python loops unroll. Vectors have LANES lanes on every target; LLVM splits
them where the machine's registers are narrower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from llvmlite import ir
from llvmlite.ir.instructions import StoreAtomicInstr

#: Lanes of a vector register in the tile language, on every target.
LANES = 16

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
F16, F32, F64 = ir.HalfType(), ir.FloatType(), ir.DoubleType()
PTR = ir.PointerType()
VOID = ir.VoidType()


def vector(element: ir.Type, lanes: int = LANES) -> ir.VectorType:
    return ir.VectorType(element, lanes)


def size_of(type: ir.Type) -> int:
    """Bytes of a scalar or vector type in memory."""
    if isinstance(type, ir.VectorType):
        return size_of(type.element) * type.count
    sizes = {I8: 1, I16: 2, I32: 4, I64: 8, F16: 2, F32: 4, F64: 8, PTR: 8}
    return sizes[type]


def is_float(type: ir.Type) -> bool:
    element = type.element if isinstance(type, ir.VectorType) else type
    return isinstance(element, (ir.HalfType, ir.FloatType, ir.DoubleType))


Operand = "Value | int | float"


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """An SSA value with arithmetic; ints and floats on either side become constants of its type."""

    emitter: Emitter
    raw: ir.Value

    @property
    def type(self) -> ir.Type:
        return self.raw.type

    def _binary(self, other: Value | int | float, float_op: str, int_op: str) -> Value:
        right = self.emitter.like(other, self.type)
        op = float_op if is_float(self.type) else int_op
        return Value(self.emitter, getattr(self.emitter.builder, op)(self.raw, right.raw))

    def __add__(self, other: Value | int | float) -> Value:
        return self._binary(other, "fadd", "add")

    def __sub__(self, other: Value | int | float) -> Value:
        return self._binary(other, "fsub", "sub")

    def __rsub__(self, other: int | float) -> Value:
        return self.emitter.like(other, self.type) - self

    def __mul__(self, other: Value | int | float) -> Value:
        return self._binary(other, "fmul", "mul")

    def __truediv__(self, other: Value | float) -> Value:
        return self._binary(other, "fdiv", "sdiv")

    def __rtruediv__(self, other: float) -> Value:
        return self.emitter.like(other, self.type) / self

    def __floordiv__(self, other: Value | int) -> Value:
        return self._binary(other, "fdiv", "udiv")

    def __mod__(self, other: Value | int) -> Value:
        return self._binary(other, "frem", "urem")

    def __and__(self, other: Value | int) -> Value:
        return self._binary(other, "and_", "and_")

    def __or__(self, other: Value | int) -> Value:
        return self._binary(other, "or_", "or_")

    def __xor__(self, other: Value | int) -> Value:
        return self._binary(other, "xor", "xor")

    def __lshift__(self, other: Value | int) -> Value:
        return self._binary(other, "shl", "shl")

    def __rshift__(self, other: Value | int) -> Value:
        """Logical shift to the right."""
        return self._binary(other, "lshr", "lshr")

    __radd__ = __add__
    __rmul__ = __mul__

    def _compare(self, op: str, other: Value | int | float) -> Value:
        right = self.emitter.like(other, self.type)
        builder = self.emitter.builder
        compare = builder.fcmp_ordered if is_float(self.type) else builder.icmp_signed
        return Value(self.emitter, compare(op, self.raw, right.raw))

    def __lt__(self, other: Value | int | float) -> Value:
        return self._compare("<", other)

    def __le__(self, other: Value | int | float) -> Value:
        return self._compare("<=", other)

    def __gt__(self, other: Value | int | float) -> Value:
        return self._compare(">", other)

    def __ge__(self, other: Value | int | float) -> Value:
        return self._compare(">=", other)

    def equals(self, other: Value | int | float) -> Value:
        return self._compare("==", other)

    def differs(self, other: Value | int | float) -> Value:
        return self._compare("!=", other)


class Variable:
    """A mutable local; LLVM turns it into SSA form."""

    def __init__(self, emitter: Emitter, initial: Value) -> None:
        self._emitter = emitter
        with emitter.builder.goto_entry_block():
            self._slot = emitter.builder.alloca(initial.type)
        self._type = initial.type
        self.set(initial)

    def get(self) -> Value:
        return Value(self._emitter, self._emitter.builder.load(self._slot, typ=self._type))

    def set(self, value: Value | int | float) -> None:
        value = self._emitter.like(value, self._type)
        self._emitter.builder.store(value.raw, self._slot)


class Emitter:
    """Emits the body of one function."""

    def __init__(self, module: ir.Module, function: ir.Function, features: frozenset[str]) -> None:
        self.module = module
        self.function = function
        self.features = features
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))

    # constants and conversions

    def const(self, value: float, type: ir.Type) -> Value:
        if isinstance(type, ir.VectorType):
            return Value(self, ir.Constant(type, [value] * type.count))
        return Value(self, ir.Constant(type, value))

    def i32(self, value: int) -> Value:
        return self.const(value, I32)

    def i64(self, value: int) -> Value:
        return self.const(value, I64)

    def f32(self, value: float) -> Value:
        return self.const(value, F32)

    def iota(self, type: ir.Type = I32, lanes: int = LANES) -> Value:
        return Value(self, ir.Constant(vector(type, lanes), list(range(lanes))))

    def like(self, value: Value | int | float, type: ir.Type) -> Value:
        """`value` as a value of `type`: constants are made, scalars are splat over vectors."""
        if not isinstance(value, Value):
            return self.const(value, type)
        if isinstance(type, ir.VectorType) and not isinstance(value.type, ir.VectorType):
            return self.splat(value, type.count)
        return value

    def bitcast(self, value: Value, type: ir.Type) -> Value:
        return Value(self, self.builder.bitcast(value.raw, type))

    def zext(self, value: Value, type: ir.Type) -> Value:
        return Value(self, self.builder.zext(value.raw, type))

    def sext(self, value: Value, type: ir.Type) -> Value:
        return Value(self, self.builder.sext(value.raw, type))

    def trunc(self, value: Value, type: ir.Type) -> Value:
        return Value(self, self.builder.trunc(value.raw, type))

    def to_float(self, value: Value) -> Value:
        """Signed integers to float32."""
        target = _with_element(value.type, F32)
        return Value(self, self.builder.sitofp(value.raw, target))

    def to_int(self, value: Value, element: ir.Type = I32) -> Value:
        """Floats to signed integers, towards zero."""
        return Value(self, self.builder.fptosi(value.raw, _with_element(value.type, element)))

    def splat(self, value: Value, lanes: int = LANES) -> Value:
        type = vector(value.type, lanes)
        undefined = ir.Constant(type, ir.Undefined)
        first = self.builder.insert_element(undefined, value.raw, ir.Constant(I32, 0))
        zeros = ir.Constant(vector(I32, lanes), [0] * lanes)
        return Value(self, self.builder.shuffle_vector(first, undefined, zeros))

    def shuffle(self, left: Value, right: Value, lanes: Sequence[int]) -> Value:
        mask = ir.Constant(vector(I32, len(lanes)), list(lanes))
        return Value(self, self.builder.shuffle_vector(left.raw, right.raw, mask))

    def select(self, condition: Value, then: Value, otherwise: Value | int | float) -> Value:
        other = self.like(otherwise, then.type)
        return Value(self, self.builder.select(condition.raw, then.raw, other.raw))

    def both(self, left: Value, right: Value) -> Value:
        return Value(self, self.builder.and_(left.raw, right.raw))

    def either(self, left: Value, right: Value) -> Value:
        return Value(self, self.builder.or_(left.raw, right.raw))

    # memory

    def offset(self, pointer: Value, count: Value | int, type: ir.Type = I8) -> Value:
        """The address `count` elements of `type` after `pointer`."""
        index = self.like(count, I64)
        return Value(self, self.builder.gep(pointer.raw, [index.raw], source_etype=type))

    def load(self, pointer: Value, type: ir.Type, mask: Value | None = None) -> Value:
        """An unaligned load; with a mask, lanes that it leaves out are zero and not read."""
        if mask is None:
            element = type.element if isinstance(type, ir.VectorType) else type
            align = size_of(element)
            return Value(self, self.builder.load(pointer.raw, typ=type, align=align))
        name = f"llvm.masked.load.{_mangle(type)}.p0"
        zero = ir.Constant(type, None)
        return self.intrinsic(name, type, pointer, mask, Value(self, zero))

    def store(self, value: Value, pointer: Value, mask: Value | None = None) -> None:
        if mask is None:
            type = value.type.element if isinstance(value.type, ir.VectorType) else value.type
            self.builder.store(value.raw, pointer.raw, align=size_of(type))
            return
        name = f"llvm.masked.store.{_mangle(value.type)}.p0"
        self.intrinsic(name, VOID, value, pointer, mask)

    def load_acquire(self, pointer: Value, type: ir.Type, ordering: str = "acquire") -> Value:
        raw = self.builder.load_atomic(pointer.raw, ordering, size_of(type), typ=type)
        return Value(self, raw)

    def store_release(self, value: Value, pointer: Value, ordering: str = "release") -> None:
        # IRBuilder.store_atomic of llvmlite 0.50 asks opaque pointers for a pointee.
        block, align = self.builder.block, size_of(value.type)
        store = StoreAtomicInstr(block, value.raw, pointer.raw, ordering, align)
        self.builder._insert(store)  # pyright: ignore[reportPrivateUsage]

    def atomic_add(self, pointer: Value, value: Value) -> Value:
        """Sequentially consistent fetch-and-add; the old value."""
        return Value(self, self.builder.atomic_rmw("add", pointer.raw, value.raw, "seq_cst"))

    def prefetch(self, pointer: Value, locality: int = 2) -> None:
        """Ask for the cache line at `pointer` (3: nearest cache, 2: second level)."""
        arguments = (pointer, self.i32(0), self.i32(locality), self.i32(1))
        self.intrinsic("llvm.prefetch.p0", VOID, *arguments)

    def stack(self, bytes: int, align: int = 64) -> Value:
        """Memory of the current call."""
        with self.builder.goto_entry_block():
            slot = self.builder.alloca(ir.ArrayType(I8, bytes))
        slot.align = align
        slot.type = PTR  # llvmlite gives allocations a typed pointer
        return Value(self, slot)

    def table(self, values: Sequence[int], name: str) -> Value:
        """The address of a constant table of i64."""
        type = ir.ArrayType(I64, len(values))
        table = ir.GlobalVariable(self.module, type, self.module.get_unique_name(name))
        table.global_constant, table.linkage = True, "internal"
        table.initializer = ir.Constant(type, list(values))
        table.type = PTR  # llvmlite gives globals a typed pointer
        return Value(self, table)

    # arithmetic

    def intrinsic(self, name: str, result: ir.Type, *arguments: Value) -> Value:
        """Call a function of LLVM's (or of the C library) by name."""
        function = self.module.globals.get(name)
        if function is None:
            signature = ir.FunctionType(result, [argument.type for argument in arguments])
            function = ir.Function(self.module, signature, name)
        call = self.builder.call(function, [argument.raw for argument in arguments])
        return Value(self, call)

    def _same(self, name: str, *arguments: Value) -> Value:
        type = arguments[0].type
        return self.intrinsic(f"llvm.{name}.{_mangle(type)}", type, *arguments)

    def fma(self, left: Value, right: Value, addend: Value) -> Value:
        return self._same("fma", left, right, addend)

    def maximum(self, left: Value, right: Value) -> Value:
        return self._same("maxnum" if is_float(left.type) else "smax", left, right)

    def minimum(self, left: Value, right: Value) -> Value:
        return self._same("minnum" if is_float(left.type) else "smin", left, right)

    def absolute(self, value: Value) -> Value:
        return self._same("fabs", value)

    def square_root(self, value: Value) -> Value:
        return self._same("sqrt", value)

    def round_even(self, value: Value) -> Value:
        return self._same("roundeven", value)

    def reduce_add(self, value: Value) -> Value:
        """Sum over lanes, by halves, in an order that does not depend on the target."""
        return self._reduce(value, lambda left, right: left + right)

    def reduce_max(self, value: Value) -> Value:
        return self._reduce(value, self.maximum)

    def reduce_min(self, value: Value) -> Value:
        return self._reduce(value, self.minimum)

    def _reduce(self, value: Value, combine: Callable[[Value, Value], Value]) -> Value:
        lanes = value.type.count
        while lanes > 1:
            lanes //= 2
            low = self.shuffle(value, value, range(lanes))
            high = self.shuffle(value, value, range(lanes, 2 * lanes))
            value = combine(low, high)
        return Value(self, self.builder.extract_element(value.raw, ir.Constant(I32, 0)))

    # control

    def variable(self, initial: Value) -> Variable:
        return Variable(self, initial)

    @contextmanager
    def range(
        self, start: Value | int, stop: Value | int, step: Value | int = 1
    ) -> Iterator[Value]:
        """`for index in range(start, stop, step)`; the index is an i64."""
        index = self.variable(self.like(start, I64))
        limit = self.like(stop, I64)
        head, body, exit = self._blocks("range", "range.body", "range.exit")
        self.builder.branch(head)
        self.builder.position_at_end(head)
        self.builder.cbranch((index.get() < limit).raw, body, exit)
        self.builder.position_at_end(body)
        current = index.get()
        yield current
        index.set(current + self.like(step, I64))
        self.builder.branch(head)
        self.builder.position_at_end(exit)

    @contextmanager
    def loop_while(self, condition: Callable[[], Value]) -> Iterator[None]:
        head, body, exit = self._blocks("while", "while.body", "while.exit")
        self.builder.branch(head)
        self.builder.position_at_end(head)
        self.builder.cbranch(condition().raw, body, exit)
        self.builder.position_at_end(body)
        yield
        self.builder.branch(head)
        self.builder.position_at_end(exit)

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        with self.builder.if_then(condition.raw):
            yield

    @contextmanager
    def otherwise(self, condition: Value) -> Iterator[tuple[object, object]]:
        """`with e.otherwise(c) as (then, other): with then: ...; with other: ...`."""
        with self.builder.if_else(condition.raw) as branches:
            yield branches

    def _blocks(self, *names: str) -> list[ir.Block]:
        return [self.function.append_basic_block(name) for name in names]

    def lanes(self, count: int) -> Iterator[tuple[Value, Value | None]]:
        """Cover `count` elements (known now) by vectors: pairs of offset (i64) and mask.

        The body is emitted once in a loop over whole vectors, and once more, masked, for the tail.
        """
        whole = count // LANES * LANES
        if whole == LANES:
            yield self.i64(0), None
        elif whole:
            with self.range(0, whole, LANES) as index:
                yield index, None
        if count % LANES:
            bits = [lane < count % LANES for lane in range(LANES)]
            yield self.i64(whole), Value(self, ir.Constant(vector(I1), bits))

    def call(self, function: ir.Function, *arguments: Value) -> Value:
        return Value(self, self.builder.call(function, [value.raw for value in arguments]))

    def give(self, value: Value | None = None) -> None:
        """Return from the function."""
        if value is None:
            self.builder.ret_void()
        else:
            self.builder.ret(value.raw)


def _with_element(type: ir.Type, element: ir.Type) -> ir.Type:
    return vector(element, type.count) if isinstance(type, ir.VectorType) else element


def _mangle(type: ir.Type) -> str:
    if isinstance(type, ir.VectorType):
        return f"v{type.count}{_mangle(type.element)}"
    names = {I1: "i1", I8: "i8", I16: "i16", I32: "i32", I64: "i64"}
    if type in names:
        return names[type]
    return {F16: "f16", F32: "f32", F64: "f64"}[type]


def function(
    module: ir.Module,
    name: str,
    arguments: Sequence[ir.Type],
    features: frozenset[str],
    *,
    result: ir.Type = VOID,
    exported: bool = False,
) -> tuple[Emitter, list[Value]]:
    """Start a function: its emitter and its arguments."""
    fn = ir.Function(module, ir.FunctionType(result, list(arguments)), name)
    if not exported:
        fn.linkage = "internal"
    fn.attributes.add("nounwind")
    emitter = Emitter(module, fn, features)
    return emitter, [Value(emitter, argument) for argument in fn.args]
