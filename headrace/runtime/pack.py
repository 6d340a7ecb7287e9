"""Packing: the weights of a checkpoint in the order and the form in which workers read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from headrace.cache import atomic_file
from headrace.checkpoint.formats import storage_format
from headrace.checkpoint.progress import NoProgress, Progress, step
from headrace.checkpoint.tensors import StoredTensor
from headrace.codegen.layout import pack_rows
from headrace.codegen.manifest import Manifest, Run
from headrace.codegen.tile_format import TILE_ROWS, tile_format
from headrace.errors import UnsupportedModelError

Weights = Callable[[str], StoredTensor]
Bytes = NDArray[np.uint8]

#: Rows of a weight in the format wanted, converted when they are asked for.
Rows = Callable[[slice], Bytes]

#: Rows converted at a time: bounds the memory that a large embedding takes.
_CHUNK_ROWS = 4096


def pack(
    manifest: Manifest, weights: Weights, path: Path, progress: Progress | None = None
) -> None:
    """Write the packed weights of a program, whole or not at all.

    weights: the stored tensor of each name that the manifest mentions.

    Raises:
        CacheError: the disk is full.
        UnsupportedModelError: a tensor's shape is not what the program needs.
    """
    shown = progress or NoProgress()
    with (
        step(shown, "packing weights", manifest.packed_bytes),
        atomic_file(path, manifest.packed_bytes) as file,
    ):
        _write_streams(manifest, weights, file, shown)
        _write_vectors(manifest, weights, file)
        _write_rows(manifest, weights, file, shown)


def _write_streams(manifest: Manifest, weights: Weights, file: BinaryIO, shown: Progress) -> None:
    for part in manifest.streams:
        start = manifest.stream_starts[part.worker] + part.at
        for trip in range(part.trips):
            file.seek(start + trip * part.trip)
            for run in part.runs:
                for piece in _run_bytes(weights, run, trip):
                    file.write(piece)
                    shown.advance(len(piece))


def _run_bytes(weights: Weights, run: Run, trip: int) -> Iterator[bytes]:
    """The bytes of a run, some units at a time: of each unit the tiles of all its weights."""
    tensors = [_in_format(weights(name), run.format, run.cols) for name in run.weights[trip]]
    at_once = max(1, _CHUNK_ROWS // run.unit_rows)
    for first in range(run.first, run.last, at_once):
        units = range(first, min(first + at_once, run.last))
        parts = [_unit_tiles(rows, run, units) for rows in tensors]
        yield np.stack(parts, axis=1).tobytes()


def _unit_tiles(rows: Rows, run: Run, units: range) -> Bytes:
    """Tiles of some units of one weight, `[units, bytes]`; each unit fills whole tiles."""
    raw = rows(slice(units.start * run.unit_rows, units.stop * run.unit_rows))
    missing = len(units) * run.unit_rows - raw.shape[0]
    split = _extended(raw, 0, missing).reshape(len(units), run.unit_rows, -1)
    whole = _extended(split, 1, -run.unit_rows % TILE_ROWS)
    tiles = pack_rows(tile_format(run.format), whole.reshape(-1, raw.shape[1]), run.cols)
    return tiles.reshape(len(units), -1)


def _extended(array: Bytes, axis: int, zeros: int) -> Bytes:
    """An array with zeros after it along an axis."""
    widths = [(0, zeros if index == axis else 0) for index in range(array.ndim)]
    return np.pad(array, widths) if zeros else array


def _in_format(tensor: StoredTensor, format: str, cols: int) -> Rows:
    if len(tensor.shape) != 2 or tensor.shape[1] != cols:
        raise UnsupportedModelError(
            f"{tensor.name} has shape {tensor.shape}; the program needs {cols} columns"
        )
    if tensor.format.name == format:
        return lambda rows: tensor.raw[rows]
    target = storage_format(format)
    return lambda rows: target.quantise(tensor.format.dequantise(tensor.raw[rows], cols))


def _write_vectors(manifest: Manifest, weights: Weights, file: BinaryIO) -> None:
    for part in manifest.vectors:
        for trip, name in enumerate(part.names):
            values = weights(name).dequantise().astype(np.float32, copy=False)
            if values.shape != (part.length,):
                raise UnsupportedModelError(
                    f"{name} has shape {values.shape}; the program needs ({part.length},)"
                )
            file.seek(manifest.vectors_start + part.at + trip * part.trip)
            file.write(values.tobytes())


def _write_rows(manifest: Manifest, weights: Weights, file: BinaryIO, shown: Progress) -> None:
    for part in manifest.rows:
        read = _in_format(weights(part.name), part.format, part.cols)
        file.seek(manifest.rows_start + part.at)
        for first in range(0, part.rows, _CHUNK_ROWS):
            piece = np.ascontiguousarray(read(slice(first, first + _CHUNK_ROWS))).tobytes()
            file.write(piece)
            shown.advance(len(piece))
