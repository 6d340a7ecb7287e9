"""The base of the emitter: where code goes, constants, conversions between types."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from headrace.codegen.tile.types import F32, F64, I32, I64, LANES, lanes_of, vector, with_element
from headrace.codegen.tile.value import Raw, Value, Variable


class Core:
    """Emits the body of one function.

    features: the special features of the target, for primitives with lowerings of their own.
    """

    def __init__(self, module: ir.Module, function: ir.Function, features: frozenset[str]) -> None:
        self.module = module
        self.function = function
        self.features = features
        self.builder: Raw = ir.IRBuilder(function.append_basic_block("entry"))

    # constants

    def const(self, value: float, type: ir.Type) -> Value:
        """A constant, the same in all lanes."""
        if isinstance(type, ir.VectorType):
            return Value(self, ir.Constant(type, [value] * type.count))
        return Value(self, ir.Constant(type, value))

    def i32(self, value: int) -> Value:
        return self.const(value, I32)

    def i64(self, value: int) -> Value:
        return self.const(value, I64)

    def f32(self, value: float) -> Value:
        return self.const(value, F32)

    def constants(self, values: Sequence[int], type: ir.Type) -> Value:
        """A vector of integer constants, one a lane."""
        return Value(self, ir.Constant(vector(type, len(values)), list(values)))

    def iota(self, type: ir.Type = I32, lanes: int = LANES) -> Value:
        """0, 1, 2, ... by lane."""
        return Value(self, ir.Constant(vector(type, lanes), list(range(lanes))))

    def like(self, value: Value | float, type: ir.Type) -> Value:
        """`value` as a value of `type`: constants are made, scalars are splat over vectors."""
        if not isinstance(value, Value):
            return self.const(value, type)
        if isinstance(type, ir.VectorType) and not isinstance(value.type, ir.VectorType):
            return self.splat(value, type.count)
        return value

    def variable(self, initial: Value) -> Variable:
        return Variable(self, initial)

    # conversions

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
        return Value(self, self.builder.sitofp(value.raw, with_element(value.type, F32)))

    def to_double(self, value: Value) -> Value:
        """float32 to float64."""
        return Value(self, self.builder.fpext(value.raw, with_element(value.type, F64)))

    def to_int(self, value: Value, element: ir.Type = I32) -> Value:
        """Floats to signed integers, towards zero."""
        return Value(self, self.builder.fptosi(value.raw, with_element(value.type, element)))

    # lanes

    def splat(self, value: Value, lanes: int = LANES) -> Value:
        """A scalar in all lanes of a vector."""
        type = vector(value.type, lanes)
        undefined = ir.Constant(type, ir.Undefined)
        first = self.builder.insert_element(undefined, value.raw, ir.Constant(I32, 0))
        zeros = ir.Constant(vector(I32, lanes), [0] * lanes)
        return Value(self, self.builder.shuffle_vector(first, undefined, zeros))

    def lane(self, value: Value, index: int) -> Value:
        """One lane of a vector."""
        return Value(self, self.builder.extract_element(value.raw, ir.Constant(I32, index)))

    def shuffle(self, left: Value, right: Value, lanes: Sequence[int]) -> Value:
        """The named lanes of the concatenation of two vectors."""
        mask = ir.Constant(vector(I32, len(lanes)), list(lanes))
        return Value(self, self.builder.shuffle_vector(left.raw, right.raw, mask))

    def part(self, value: Value, first: int, lanes: int) -> Value:
        """`lanes` lanes of a vector from `first` on."""
        return self.shuffle(value, value, range(first, first + lanes))

    def joined(self, parts: Sequence[Value]) -> Value:
        """Vectors one behind the other; their number is a power of two."""
        while len(parts) > 1:
            both = range(2 * lanes_of(parts[0].type))
            pairs = zip(parts[::2], parts[1::2], strict=True)
            parts = [self.shuffle(low, high, both) for low, high in pairs]
        return parts[0]

    # calls

    def intrinsic(self, name: str, result: ir.Type, *arguments: Value) -> Value:
        """Call a function of LLVM's (or of the C library) by name."""
        function = self.module.globals.get(name)
        if function is None:
            signature = ir.FunctionType(result, [argument.type for argument in arguments])
            function = ir.Function(self.module, signature, name)
        return self.call(function, *arguments)

    def call(self, function: ir.Function, *arguments: Value) -> Value:
        return Value(self, self.builder.call(function, [value.raw for value in arguments]))

    def give(self, value: Value | None = None) -> None:
        """Return from the function."""
        if value is None:
            self.builder.ret_void()
        else:
            self.builder.ret(value.raw)
