"""A program's memory: packed weights, what stages exchange, KV entries, tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headrace.codegen import abi
from headrace.codegen.manifest import Manifest
from headrace.errors import CacheError
from headrace.runtime.control import Control
from headrace.runtime.memory import Memory, map_file, read_file
from headrace.runtime.rotary import rotary_tables

_LINE = 64


class Storage:
    """Memory of a loaded program.

    Attributes:
        streams, private: of each worker. vectors, shared, cache: of all.
        rows: the embeddings' tables, in the page cache.
        blocks: KV blocks in the cache.
        block_table: int32 `[MAX_SEQUENCES, blocks of the context]`: for each slot the KV block of
            each 64 positions. Slot 0 has the first blocks until it is given others.

    Args:
        context: positions that a sequence may have.
        kv_tokens: entries of the KV cache, of all sequences together.

    Raises:
        MachineError: not enough memory.
        CacheError: the packed weights are damaged.
    """

    def __init__(self, manifest: Manifest, packed: Path, context: int, kv_tokens: int) -> None:
        _require_size(packed, manifest.packed_bytes)
        self.streams = [
            read_file(packed, start, max(bytes, _LINE))
            for start, bytes in zip(manifest.stream_starts, manifest.stream_bytes, strict=True)
        ]
        length = manifest.rows_start - manifest.vectors_start
        self.vectors = read_file(packed, manifest.vectors_start, length)
        rows_bytes = manifest.packed_bytes - manifest.rows_start
        self.rows = map_file(packed, manifest.rows_start, rows_bytes)
        self.shared = Memory(manifest.shared_bytes)
        self.private = [Memory(manifest.private_bytes) for _ in range(manifest.workers)]
        self.blocks = -(-kv_tokens // abi.KV_BLOCK)
        self.cache = Memory(self.blocks * manifest.cache.block_bytes)
        own = -(-context // abi.KV_BLOCK)
        self.block_table = np.zeros((abi.MAX_SEQUENCES, own), np.int32)
        self.block_table[0] = np.arange(own)
        self.tables = rotary_tables(manifest.tables, context)

    def connect(self, control: Control) -> None:
        """Tell the native program where everything is."""
        control["vectors"] = self.vectors.address
        control["rows"] = self.rows.ctypes.data
        control["shared"] = self.shared.address
        control["cache"] = self.cache.address
        control["block_table"] = self.block_table.ctypes.data
        control["table_stride"] = self.block_table.shape[1]
        control["tables"] = self.tables.ctypes.data
        for worker, (stream, private) in enumerate(zip(self.streams, self.private, strict=True)):
            control.set_worker(worker, "stream", stream.address)
            control.set_worker(worker, "private", private.address)


def _require_size(packed: Path, bytes: int) -> None:
    try:
        found = packed.stat().st_size
    except OSError as error:
        raise CacheError(
            f"the packed weights cannot be read: {error.strerror}", where=str(packed)
        ) from error
    if found != bytes:
        raise CacheError(
            f"the packed weights have {found} bytes, not {bytes}",
            where=str(packed),
            hint="remove the file; it is made again from the model",
        )
