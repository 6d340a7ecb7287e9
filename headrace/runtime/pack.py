"""Packing: the weights of a checkpoint in the order and the form in which workers read them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headrace.cache import atomic_file
from headrace.checkpoint.formats import storage_format
from headrace.checkpoint.progress import NoProgress, Progress
from headrace.checkpoint.tensors import StoredTensor
from headrace.codegen.layout import pack_rows, tile_format
from headrace.codegen.manifest import Manifest, Run, StreamPart
from headrace.errors import UnsupportedModelError

Weights = Callable[[str], StoredTensor]

#: Rows converted at a time: bounds the memory that a large embedding takes.
_CHUNK_ROWS = 4096


def pack(manifest: Manifest, weights: Weights, path: Path, progress: Progress | None = None) -> None:
    """Write the packed weights of a program, whole or not at all.

    weights: the stored tensor of each name that the manifest mentions.

    Raises:
        CacheError: the disk is full.
        UnsupportedModelError: a tensor's shape is not what the program needs.
    """
    shown = progress or NoProgress()
    shown.start("packing weights", manifest.packed_bytes)
    with atomic_file(path, manifest.packed_bytes) as file:
        file.truncate(manifest.packed_bytes)
        for part in manifest.streams:
            start = manifest.stream_starts[part.worker]
            for trip in range(part.trips):
                file.seek(start + part.at + trip * part.trip)
                for run in part.runs:
                    for piece in _run_bytes(weights, run, trip):
                        file.write(piece)
                        shown.advance(len(piece))
        _write_vectors(manifest, weights, file)
        _write_rows(manifest, weights, file, shown)
    shown.done()


def _run_bytes(weights: Weights, run: Run, trip: int):
    """The bytes of a run, some units at a time."""
    tensors = [_in_format(weights(name), run.format, run.cols) for name in run.weights[trip]]
    step = max(1, _CHUNK_ROWS // run.unit_rows)
    for first in range(run.first, run.last, step):
        units = range(first, min(first + step, run.last))
        parts = [_unit_tiles(rows, run, units) for rows in tensors]
        yield np.stack(parts, axis=1).tobytes()


def _unit_tiles(rows: Callable[[slice], NDArray[np.uint8]], run: Run, units: range):
    """Tiles of some units of one weight: `[units, bytes]`."""
    raw = rows(slice(units.start * run.unit_rows, units.stop * run.unit_rows))
    missing = len(units) * run.unit_rows - raw.shape[0]
    whole = np.pad(raw, ((0, missing), (0, 0))) if missing else raw
    each = -run.unit_rows % 32
    if each:
        split = whole.reshape(len(units), run.unit_rows, -1)
        whole = np.pad(split, ((0, 0), (0, each), (0, 0))).reshape(-1, whole.shape[1])
    return pack_rows(tile_format(run.format), whole, run.cols).reshape(len(units), -1)


def _in_format(
    tensor: StoredTensor, format: str, cols: int
) -> Callable[[slice], NDArray[np.uint8]]:
    """Rows of a tensor in a storage format, converted when they are asked for."""
    if tensor.shape[-1] != cols or len(tensor.shape) != 2:
        raise UnsupportedModelError(
            f"{tensor.name} has shape {tensor.shape}; the program needs {cols} columns"
        )
    if tensor.format.name == format:
        return lambda rows: tensor.raw[rows]
    target = storage_format(format)
    return lambda rows: target.quantise(tensor.format.dequantise(tensor.raw[rows], cols))


def _write_vectors(manifest: Manifest, weights: Weights, file) -> None:
    for part in manifest.vectors:
        for trip, name in enumerate(part.names):
            values = weights(name).dequantise().astype(np.float32, copy=False)
            if values.shape != (part.length,):
                raise UnsupportedModelError(
                    f"{name} has shape {values.shape}; the program needs ({part.length},)"
                )
            file.seek(manifest.vectors_start + part.at + trip * part.trip)
            file.write(values.tobytes())


def _write_rows(manifest: Manifest, weights: Weights, file, shown: Progress) -> None:
    rows = manifest.rows
    read = _in_format(weights(rows.name), rows.format, rows.cols)
    file.seek(manifest.rows_start)
    for first in range(0, rows.rows, _CHUNK_ROWS):
        piece = np.ascontiguousarray(read(slice(first, first + _CHUNK_ROWS))).tobytes()
        file.write(piece)
        shown.advance(len(piece))


__all__ = ["StreamPart", "pack"]
