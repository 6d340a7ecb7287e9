"""A checkpoint in other formats, written as one that loads again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from headrace.checkpoint.progress import NoProgress, Progress, step
from headrace.checkpoint.source import Source, open_checkpoint, resolve
from headrace.checkpoint.tensors import Checkpoint
from headrace.errors import RequestError, UnsupportedFormatError
from headrace.formats.storage import FORMATS, StorageFormat

Written = Literal["q4", "q8", "bf16", "f32"]
FORMAT_OF = {"q4": "q4_0", "q8": "q8_0", "bf16": "bf16", "f32": "f32"}
HEADER_ROOM = 64 << 20


def quantize(
    source: str | Path, output: Path, weights: Written, progress: Progress | None = None
) -> Path:
    """Write a model with its matrices in another format; gives the output's path.

    Loading the output gives bit by bit what loading the source with the same `weights` gives.

    Args:
        source: as `headrace.checkpoint.source.resolve` takes it.
        output: for a GGUF source a `.gguf` file, for a directory a directory, in the
            pack-quantized form of compressed-tensors for `q4` and `q8`, embeddings included
            (transformers reads these with `CompressedTensorsConfig(dequantize=True)`). It must
            not exist.

    Raises:
        RequestError: the output exists, has another kind of name, or cannot be written.
        UnsupportedFormatError: a matrix cannot be stored in that format.
        HeadraceError: the model cannot be found, read or captured.
    """
    from headrace.checkpoint.outputs import refuse_existing

    report = progress if progress is not None else NoProgress()
    refuse_existing(output)
    found = resolve(source, report)
    if found.kind == "gguf" and output.suffix != ".gguf":
        raise RequestError(
            "a GGUF model becomes a GGUF file", where=str(output), hint=f"name it {output}.gguf"
        )
    checkpoint, wanted = open_checkpoint(found), FORMATS[FORMAT_OF[weights]]
    with step(report, f"looking at the matrices of {found.name}", None):
        matrices = _matrices(found, checkpoint, wanted)
    write = _write_gguf if found.kind == "gguf" else _write_directory
    write(checkpoint, matrices, wanted, output, report)
    return output


def _matrices(source: Source, checkpoint: Checkpoint, wanted: StorageFormat) -> dict[str, bool]:
    """Names of the tensors that the program uses: whether as matrices.

    Raises:
        UnsupportedFormatError: a matrix is stored transposed, so that the values of its rows
            cannot share scales.
    """
    from headrace.frontend.capture import capture_checkpoint
    from headrace.ir.program_ops import WeightOp
    from headrace.ir.types import WeightType

    captured = capture_checkpoint(source, checkpoint)
    found: dict[str, bool] = {}
    for op in captured.module.walk():
        if isinstance(op, WeightOp):
            binding = captured.bindings[op.weight_name.data]
            assert isinstance(op.result.type, WeightType)
            is_matrix = len(op.result.type.shape) >= 2
            found[binding.tensor] = is_matrix or found.get(binding.tensor, False)
            if binding.transpose and wanted.block > 1:
                raise UnsupportedFormatError(
                    f"tensor '{binding.tensor}' is stored transposed, and groups of its rows' "
                    "values cannot share scales in that form",
                    where=str(checkpoint.path),
                    hint="load the source itself with the weights wanted",
                )
    return found


def _formats(
    checkpoint: Checkpoint, used: Mapping[str, bool], wanted: StorageFormat
) -> dict[str, StorageFormat]:
    """The format of each tensor: matrices as wanted, others as they are."""
    return {
        name: wanted if used[name] else checkpoint.tensor(name).format
        for name in checkpoint.names()
        if name in used
    }


def _write_gguf(
    checkpoint: Checkpoint,
    used: Mapping[str, bool],
    wanted: StorageFormat,
    output: Path,
    report: Progress,
) -> None:
    from headrace.checkpoint.gguf_writing import tensor_bytes, write_gguf
    from headrace.checkpoint.outputs import new_file

    everything = dict.fromkeys(checkpoint.names(), False) | dict(used)
    formats = _formats(checkpoint, everything, wanted)
    total = sum(tensor_bytes(checkpoint, name, each) for name, each in formats.items())
    with (
        new_file(output, total + HEADER_ROOM) as path,
        step(report, f"writing {output.name}", total),
    ):
        write_gguf(checkpoint, formats, wanted, path, report.advance)


def _write_directory(
    checkpoint: Checkpoint,
    used: Mapping[str, bool],
    wanted: StorageFormat,
    output: Path,
    report: Progress,
) -> None:
    from headrace.checkpoint.compressed_writing import (
        write_companions,
        write_weights,
        written_bytes,
    )
    from headrace.checkpoint.outputs import new_directory

    formats = _formats(checkpoint, used, wanted)
    total = written_bytes(checkpoint, formats)
    with (
        new_directory(output, total + HEADER_ROOM) as directory,
        step(report, f"writing {output.name}", total),
    ):
        write_companions(checkpoint.path, directory, wanted, ("Linear", "Embedding"))
        write_weights(checkpoint, formats, directory, report.advance)
