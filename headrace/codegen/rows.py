"""One row of a weight, as stored in its file, as float32: the embedding's kernel."""

from __future__ import annotations

from llvmlite import ir

from headrace.codegen.primitives import bfloat_to_float, half_to_float, look_up
from headrace.codegen.row_layout import RowLayout, row_layout
from headrace.codegen.tile import F32, I8, I16, I32, LANES, PTR, Emitter, Value, function, vector
from headrace.codegen.tile_format import TileFormat, tile_format
from headrace.codegen.unpack import E4M3_FACTOR, e4m3_to_float, from_e8m0
from headrace.formats.storage import storage_format

_SIGN = 128


def dequantise_row(
    module: ir.Module, features: frozenset[str], format: str, cols: int
) -> ir.Function:
    """The function `(stored row, out)`; out is f32 `[cols]`."""
    name = f"dequantise_{format}_{cols}"
    found = module.globals.get(name)
    if found is not None:
        return found
    e, (source, out) = function(module, name, [PTR, PTR], features)
    if tile_format(format).scale is None:
        _floats(e, format, cols, source, out)
    else:
        _blocks(e, format, cols, source, out)
    e.give()
    return e.function


def _floats(e: Emitter, format: str, cols: int, source: Value, out: Value) -> None:
    element = F32 if format == "f32" else I16
    for index, mask in e.lanes(cols):
        raw = e.load(e.offset(source, index, element), vector(element), mask)
        e.store(_float(e, format, raw), e.offset(out, index, F32), mask)


def _float(e: Emitter, format: str, raw: Value) -> Value:
    if format == "f32":
        return raw
    return half_to_float(e, raw) if format == "f16" else bfloat_to_float(e, raw)


def _blocks(e: Emitter, format: str, cols: int, source: Value, out: Value) -> None:
    stored = storage_format(format)
    whole, rest = divmod(cols, stored.block)
    with e.range(0, whole) as index:
        block = e.offset(source, index * stored.block_bytes)
        _block(e, format, stored.block, block, e.offset(out, index * stored.block, F32))
    if rest:
        block = e.offset(source, whole * stored.block_bytes)
        _block(e, format, rest, block, e.offset(out, whole * stored.block, F32))


def _block(e: Emitter, name: str, count: int, block: Value, out: Value) -> None:
    """The first `count` numbers of a block."""
    numbers = _Numbers(e, tile_format(name), row_layout(name), block)
    for chunk in range(-(-count // LANES)):
        left = count - LANES * chunk
        mask = e.first_lanes(left) if left < LANES else None
        e.store(numbers.chunk(chunk), e.offset(out, LANES * chunk, F32), mask)


class _Numbers:
    """The numbers of one block."""

    def __init__(self, e: Emitter, format: TileFormat, layout: RowLayout, block: Value) -> None:
        self.e, self.format, self.layout, self.block = e, format, layout, block
        self.scale = _scale(e, format, e.offset(block, layout.scale_at))

    def chunk(self, chunk: int) -> Value:
        """Numbers of 16 columns, float32."""
        e, format = self.e, self.format
        if format.kind == "float":
            (plane,) = self.layout.planes
            raw = e.load(e.offset(self.block, plane.at + LANES * chunk), vector(I8))
            return e4m3_to_float(e, raw)[0] * (self.scale * E4M3_FACTOR)
        values = e.to_float(self._codes(chunk) - self._zero())
        scale, minimum = self.scale, self._minimum()
        factors = self._factors(chunk)
        if factors:
            scale = scale * factors[0]
        values = values * scale
        if minimum is None:
            return values
        if format.shift == "added":
            return values + minimum
        return values - minimum * factors[1]

    def _codes(self, chunk: int) -> Value:
        e, bit, total = self.e, 0, None
        for plane in self.layout.planes:
            bits = plane.bits(e, self.block, chunk) << bit
            total = bits if total is None else total | bits
            bit += plane.width
        assert total is not None
        if self.format.name == "q8_0":
            return total ^ _SIGN  # ggml stores these codes signed
        return self._looked_up(total) if self.format.codebook else total

    def _looked_up(self, codes: Value) -> Value:
        e = self.e
        narrow = e.trunc(codes, vector(I8))
        wide = e.shuffle(narrow, narrow, list(range(LANES)) * 4)
        found = look_up(e, self.format.codebook, wide)
        return e.zext(e.shuffle(found, found, range(LANES)), vector(I32))

    def _zero(self) -> Value | int:
        if self.format.shift != "zero point":
            return self.format.zero
        stored = self.e.load(self.e.offset(self.block, self.layout.shift_at), I8)
        return self.e.splat(self.e.zext(stored, I32))

    def _minimum(self) -> Value | None:
        if not self.format.has_minimum:
            return None
        return _half(self.e, self.e.offset(self.block, self.layout.shift_at))

    def _factors(self, chunk: int) -> list[Value]:
        """Of the scale, then of the minimum, over all lanes as float32."""
        e, factors = self.e, self.format.factors
        if factors is None or self.layout.factors is None:
            return []
        found = self.layout.factors(e, self.block, chunk)
        if factors.signed:
            found = [(each ^ _SIGN) - _SIGN for each in found]
        return [e.to_float(e.splat(each - factors.zero)) for each in found]


def _scale(e: Emitter, format: TileFormat, place: Value) -> Value:
    """A block's scale over all lanes."""
    match format.scale:
        case "bf16":
            return bfloat_to_float(e, e.splat(e.load(place, I16)))
        case "f32":
            return e.splat(e.load(place, F32))
        case "e8m0":
            return from_e8m0(e, e.splat(e.load(place, I8)))
        case _:
            return _half(e, place)


def _half(e: Emitter, place: Value) -> Value:
    """A stored f16 number over all lanes."""
    return half_to_float(e, e.splat(e.load(place, I16)))
