"""A model directory in the pack-quantized form of compressed-tensors, or in plain floats.

Layout: `compressed_tensors/compressors/pack_quantized` (`pack_to_int32`). Our groups of 32 become
its symmetric groups: the same codes, neighbours in a word, and the same scales.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headrace.checkpoint.conversion import converted
from headrace.checkpoint.quantised.config import KEY
from headrace.checkpoint.safetensors import FORMAT_OF_DTYPE
from headrace.checkpoint.safetensors_writing import SHARD_BYTES, Part, Unit, write_safetensors
from headrace.checkpoint.tensors import Bytes, Checkpoint, StoredTensor
from headrace.formats.storage import StorageFormat

GROUP = 32
#: Formats that compressed-tensors stores, and their bits.
BITS = {"q4_0": 4, "q8_0": 8}
DTYPE_OF_FORMAT = {format: dtype for dtype, format in FORMAT_OF_DTYPE.items()}
#: Files beside the weights that belong to a model.
COMPANIONS = (
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
    "vocab.*",
    "merges.txt",
    "LICENSE*",
    "NOTICE*",
)


def write_weights(
    checkpoint: Checkpoint,
    formats: Mapping[str, StorageFormat],
    directory: Path,
    advance: Callable[[int], None],
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write the tensors in `formats`, each in its format, one in memory at a time."""
    units = [_unit(checkpoint, name, format) for name, format in formats.items()]
    write_safetensors(directory, units, advance, shard_bytes)


def written_bytes(checkpoint: Checkpoint, formats: Mapping[str, StorageFormat]) -> int:
    """Bytes that `write_weights` writes, headers left out."""
    return sum(_unit(checkpoint, name, format).nbytes for name, format in formats.items())


def _unit(checkpoint: Checkpoint, name: str, format: StorageFormat) -> Unit:
    shape = checkpoint.tensor(name).shape
    bits = BITS.get(format.name)
    make = _plain if bits is None else _packed

    def made() -> Sequence[Bytes]:
        parts = make(checkpoint.tensor(name), format)
        checkpoint.release()
        return parts

    if bits is None:
        return Unit((Part(name, DTYPE_OF_FORMAT[format.name], shape),), made)
    rows, cols = shape
    parts = (
        Part(f"{name}_shape", "I64", (2,)),
        Part(f"{name}_packed", "I32", (rows, -(-cols * bits // 32))),
        Part(f"{name}_scale", "F16", (rows, -(-cols // GROUP))),
    )
    return Unit(parts, made)


def _plain(tensor: StoredTensor, format: StorageFormat) -> Sequence[Bytes]:
    return (np.ascontiguousarray(converted(tensor, format)),)


def _packed(tensor: StoredTensor, format: StorageFormat) -> Sequence[Bytes]:
    """The shape, the codes in words, and the scales of a matrix in q4_0 or q8_0."""
    rows, cols = tensor.shape
    bits = BITS[format.name]
    blocks = converted(tensor, format).reshape(rows, -1, format.block_bytes)
    words = -(-cols * bits // 32)
    packed = _neighbours(blocks[..., 2:]) if bits == 4 else blocks[..., 2:] ^ np.uint8(0x80)
    codes = np.ascontiguousarray(packed.reshape(rows, -1)[:, : 4 * words])
    scales = np.ascontiguousarray(blocks[..., :2])
    shape = np.array(tensor.shape, np.int64).view(np.uint8)
    return shape, codes, scales


def _neighbours(packed: Bytes) -> Bytes:
    """Nibbles of columns i and i + 16 in a byte → of columns 2i and 2i + 1."""
    codes = np.concatenate([packed & np.uint8(15), packed >> np.uint8(4)], axis=-1)
    return codes[..., ::2] | (codes[..., 1::2] << np.uint8(4))


def write_companions(
    source: Path, directory: Path, format: StorageFormat, layers: Sequence[str]
) -> None:
    """Copy the configuration, saying how weights are quantised, and the tokenizer's files.

    layers: the classes of modules whose weights are in `format`.
    """
    config: dict[str, Any] = json.loads((source / "config.json").read_bytes())
    config.pop(KEY, None)
    if format.name in BITS:
        config[KEY] = _quantisation(BITS[format.name], layers)
    else:
        config.pop("torch_dtype", None)
        config["dtype"] = {"f32": "float32", "bf16": "bfloat16"}[format.name]
    (directory / "config.json").write_text(json.dumps(config, indent=2), "utf-8")
    for pattern in COMPANIONS:
        for path in source.glob(pattern):
            if path.is_file():
                shutil.copyfile(path, directory / path.name)


def _quantisation(bits: int, layers: Sequence[str]) -> dict[str, Any]:
    weights = {
        "num_bits": bits,
        "type": "int",
        "symmetric": True,
        "strategy": "group",
        "group_size": GROUP,
        "dynamic": False,
    }
    group = {
        "targets": list(layers),
        "weights": weights,
        "input_activations": None,
        "output_activations": None,
        "format": "pack-quantized",
    }
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": group},
        "ignore": [],
        "kv_cache_scheme": None,
    }
