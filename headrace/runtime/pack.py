"""Packing: the weights of a checkpoint in the order and the form in which workers read them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headrace.cache import atomic_file
from headrace.checkpoint.progress import NoProgress, Progress, step
from headrace.checkpoint.tensors import StoredTensor
from headrace.codegen.layout import pack_rows
from headrace.codegen.manifest import Manifest, RowsPart, Run, StreamPart, VectorPart
from headrace.codegen.tile_format import TILE_ROWS, tile_format
from headrace.errors import UnsupportedModelError
from headrace.formats.quantise import convert
from headrace.formats.storage import storage_format

Weights = Callable[[str], StoredTensor]
Bytes = NDArray[np.uint8]

#: Rows of a weight in the format wanted, converted when they are asked for.
Rows = Callable[[slice], Bytes]

#: Values converted at a time by each thread: bounds the memory that packing takes.
_CHUNK_VALUES = 1 << 20


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of the packed file, from offset `at`, made when it is their turn."""

    at: int
    make: Callable[[], Bytes]


def pack(
    manifest: Manifest,
    weights: Weights,
    path: Path,
    progress: Progress | None = None,
    release: Callable[[], None] | None = None,
) -> None:
    """Write the packed weights of a program, whole or not at all, with all allowed processors.

    weights: the stored tensor of each name that the manifest mentions; called from several threads.
    release: lets go of the memory that reading tensors took.

    Raises:
        CacheError: the disk is full.
        UnsupportedModelError: a tensor's shape is not what the program needs.
    """
    shown = progress or NoProgress()
    pieces = list(_pieces(manifest, weights))
    with (
        step(shown, "packing weights", manifest.packed_bytes),
        atomic_file(path, manifest.packed_bytes) as file,
        ThreadPoolExecutor(len(os.sched_getaffinity(0)), "headrace-pack") as pool,
    ):

        def write(piece: Piece) -> int:
            made = piece.make()
            _write_at(file.fileno(), made, piece.at)
            if release is not None:
                release()
            return made.nbytes

        try:
            for count in pool.map(write, pieces):
                shown.advance(count)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _write_at(descriptor: int, data: Bytes, at: int) -> None:
    view = np.ascontiguousarray(data).data.cast("B")
    while view:
        written = os.pwrite(descriptor, view, at)
        view, at = view[written:], at + written


def _pieces(manifest: Manifest, weights: Weights) -> Iterator[Piece]:
    """All pieces, layer by layer: that is how most files have them."""
    for trip in range(max((part.trips for part in manifest.streams), default=0)):
        for part in manifest.streams:
            if trip < part.trips:
                start = manifest.stream_starts[part.worker] + part.at + trip * part.trip
                yield from _stream_pieces(part, trip, start, weights)
    for vector in manifest.vectors:
        yield from _vector_pieces(vector, manifest.vectors_start, weights)
    for table in manifest.rows:
        yield from _row_pieces(table, manifest.rows_start, weights)


def _stream_pieces(part: StreamPart, trip: int, start: int, weights: Weights) -> Iterator[Piece]:
    for run in part.runs:
        unit_bytes = run.bytes // max(run.last - run.first, 1)
        at_once = max(1, _CHUNK_VALUES // (run.unit_rows * run.cols))
        for first in range(run.first, run.last, at_once):
            units = range(first, min(first + at_once, run.last))
            at = start + (first - run.first) * unit_bytes
            yield Piece(at, _unit_maker(run, trip, units, weights))
        start += run.bytes


def _unit_maker(run: Run, trip: int, units: range, weights: Weights) -> Callable[[], Bytes]:
    """Makes the bytes of some units: of each unit the tiles of all its weights."""

    def make() -> Bytes:
        names = run.weights[trip]
        columns = slice(run.first_col, run.last_col)
        parts = [_unit_tiles(_in_format(weights(name), run, columns), run, units) for name in names]
        return np.stack(parts, axis=1)

    return make


def _unit_tiles(rows: Rows, run: Run, units: range) -> Bytes:
    """Tiles of some units of one weight, `[units, bytes]`; each unit fills whole tiles."""
    raw = rows(slice(units.start * run.unit_rows, units.stop * run.unit_rows))
    missing = len(units) * run.unit_rows - raw.shape[0]
    split = _extended(raw, 0, missing).reshape(len(units), run.unit_rows, -1)
    whole = _extended(split, 1, -run.unit_rows % TILE_ROWS)
    cols = run.last_col - run.first_col
    tiles = pack_rows(tile_format(run.format), whole.reshape(-1, raw.shape[1]), cols)
    return tiles.reshape(len(units), -1)


def _extended(array: Bytes, axis: int, zeros: int) -> Bytes:
    """An array with zeros after it along an axis."""
    widths = [(0, zeros if index == axis else 0) for index in range(array.ndim)]
    return np.pad(array, widths) if zeros else array


def _in_format(tensor: StoredTensor, wanted: Run | RowsPart, columns: slice) -> Rows:
    """Rows of a tensor in a format, of these columns, which are whole blocks."""
    cols = wanted.cols
    if len(tensor.shape) != 2 or tensor.shape[1] != cols:
        raise UnsupportedModelError(
            f"{tensor.name} has shape {tensor.shape}; the program needs {cols} columns"
        )
    target = storage_format(wanted.format)
    if tensor.format.name == wanted.format:
        bytes = slice(*map(target.row_bytes, (columns.start, columns.stop)))
        return lambda rows: tensor.rows(rows)[:, bytes]

    def converted(rows: slice) -> Bytes:
        values = tensor.format.dequantise(tensor.rows(rows), cols)
        return convert(np.ascontiguousarray(values[:, columns]), target)

    return converted


def _vector_pieces(part: VectorPart, start: int, weights: Weights) -> Iterator[Piece]:
    for trip, name in enumerate(part.names):
        yield Piece(start + part.at + trip * part.trip, _vector_maker(part, name, weights))


def _vector_maker(part: VectorPart, name: str, weights: Weights) -> Callable[[], Bytes]:
    def make() -> Bytes:
        values = weights(name).dequantise().astype(np.float32, copy=False)
        if values.shape != (part.length,):
            raise UnsupportedModelError(
                f"{name} has shape {values.shape}; the program needs ({part.length},)"
            )
        return np.ascontiguousarray(values).view(np.uint8)

    return make


def _row_pieces(part: RowsPart, start: int, weights: Weights) -> Iterator[Piece]:
    at_once = max(1, _CHUNK_VALUES // part.cols)
    for first in range(0, part.rows, at_once):
        wanted = slice(first, min(first + at_once, part.rows))
        at = start + part.at + first * part.row_bytes
        yield Piece(at, _row_maker(part, wanted, weights))


def _row_maker(part: RowsPart, wanted: slice, weights: Weights) -> Callable[[], Bytes]:
    return lambda: _in_format(weights(part.name), part, slice(0, part.cols))(wanted)
