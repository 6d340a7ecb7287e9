"""One row of a weight, as stored in its file, as float32: the embedding's kernel."""

from __future__ import annotations

from llvmlite import ir

from headrace.checkpoint.formats import storage_format
from headrace.codegen.primitives import bfloat_to_float, half_to_float
from headrace.codegen.tile import F32, I8, I16, I32, LANES, PTR, Emitter, Value, function, vector
from headrace.errors import UnsupportedFormatError

#: Formats with code here: numbers, and blocks of numbers with a scale.
_FLOATS = ("f32", "f16", "bf16")
_QUANTISED = ("q4_0", "q4_1", "q8_0")


def dequantise_row(
    module: ir.Module, features: frozenset[str], format: str, cols: int
) -> ir.Function:
    """The function `(stored row, out)`; out is f32 `[cols]`."""
    name = f"dequantise_{format}_{cols}"
    found = module.globals.get(name)
    if found is not None:
        return found
    e, (source, out) = function(module, name, [PTR, PTR], features)
    if format in _FLOATS:
        _floats(e, format, cols, source, out)
    elif format in _QUANTISED:
        stored = storage_format(format)
        with e.range(0, cols // stored.block) as block:
            place = e.offset(source, block * stored.block_bytes)
            _block(e, format, stored.block, place, e.offset(out, block * stored.block, F32))
    else:
        raise UnsupportedFormatError(f"no kernel reads embedding rows stored as {format!r}")
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


def _block(e: Emitter, format: str, count: int, stored: Value, out: Value) -> None:
    scale = _half(e, stored)
    if format == "q8_0":
        for part in range(0, count, LANES):
            raw = e.load(e.offset(stored, 2 + part), vector(I8))
            values = e.to_float(e.sext(raw, vector(I32)))
            e.store(values * scale, e.offset(out, part, F32))
        return
    head = 2 if format == "q4_0" else 4
    bytes = e.load(e.offset(stored, head), vector(I8))
    for index, nibbles in enumerate((bytes & 15, bytes >> 4)):
        number = e.zext(nibbles, vector(I32))
        if format == "q4_0":
            values = e.to_float(number - 8) * scale
        else:
            values = e.to_float(number) * scale + _half(e, e.offset(stored, 2))
        e.store(values, e.offset(out, index * LANES, F32))


def _half(e: Emitter, place: Value) -> Value:
    """A stored f16 number over all lanes."""
    return half_to_float(e, e.splat(e.load(place, I16)))
