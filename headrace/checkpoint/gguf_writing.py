"""A GGUF file with the tensors of another one in other formats, and everything else as it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headrace.checkpoint.conversion import converted
from headrace.checkpoint.random_model import FILE_TYPES
from headrace.checkpoint.tensors import Checkpoint
from headrace.errors import UnsupportedFormatError
from headrace.formats.storage import StorageFormat

if TYPE_CHECKING:
    from gguf import GGUFWriter

#: Keys that are written anew: what the writer itself says, formats, and places in split files.
REPLACED = (
    "general.architecture",
    "general.alignment",
    "general.file_type",
    "general.quantization_version",
    "split.no",
    "split.count",
    "split.tensors.count",
)
QUANTISATION_VERSION = 2  # GGML_QNT_VERSION


def tensor_bytes(checkpoint: Checkpoint, name: str, format: StorageFormat) -> int:
    """Bytes of a tensor in a GGUF file.

    Raises:
        UnsupportedFormatError: its rows are no whole number of blocks, which GGUF asks for.
    """
    tensor = checkpoint.tensor(name)
    if tensor.cols % format.block:
        raise UnsupportedFormatError(
            f"tensor '{name}' has rows of {tensor.cols} values, which a GGUF file cannot store "
            f"as {format.name}",
            where=str(checkpoint.path),
            hint="choose bf16 or f32, or load the source itself with other weights",
        )
    return prod(tensor.shape[:-1]) * format.row_bytes(tensor.cols)


def write_gguf(
    checkpoint: Checkpoint,
    formats: Mapping[str, StorageFormat],
    main: StorageFormat,
    path: Path,
    advance: Callable[[int], None],
) -> None:
    """Write the tensors in `formats`, each in its format, one in memory at a time.

    main: the format of matrices, for the file's own description.

    Raises:
        UnsupportedFormatError: a row is no whole number of blocks.
    """
    from gguf import GGMLQuantizationType

    sizes = {name: tensor_bytes(checkpoint, name, each) for name, each in formats.items()}
    writer = _writer(checkpoint, main, path)
    try:
        for name, format in formats.items():
            kind = GGMLQuantizationType[format.name.upper()]
            shape = checkpoint.tensor(name).shape
            writer.add_tensor_info(name, shape, np.dtype(np.float32), sizes[name], kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for name, format in formats.items():
            writer.write_tensor_data(converted(checkpoint.tensor(name), format))
            checkpoint.release()
            advance(sizes[name])
    finally:
        writer.close()


def _writer(checkpoint: Checkpoint, main: StorageFormat, path: Path) -> GGUFWriter:
    """A writer that has the key-values of the source."""
    from gguf import GGUFReader, GGUFValueType, GGUFWriter

    writer = GGUFWriter(path, str(checkpoint.metadata["general.architecture"]))
    # The checkpoint has checked the header; the reader knows the type of each value beside it.
    for key, field in GGUFReader(checkpoint.path).fields.items():
        if field.types and key not in REPLACED and not key.startswith("GGUF."):
            is_array = field.types[0] == GGUFValueType.ARRAY
            inner = field.types[-1] if is_array else None
            writer.add_key_value(key, field.contents(), field.types[0], sub_type=inner)
    writer.add_file_type(FILE_TYPES[main.name])
    writer.add_quantization_version(QUANTISATION_VERSION)
    return writer
