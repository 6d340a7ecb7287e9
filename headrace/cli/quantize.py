"""`headrace quantize`: write a model with its matrices in another format."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from headrace.cli.console import byte_count, note, terminal_progress


def quantize(
    source: str,
    output: Path,
    /,
    *,
    weights: Literal["q4", "q8", "bf16", "f32"] = "q4",
) -> None:
    """Write a model with its matrices in another format, as a model that loads again.

    Args:
        source: An alias (smollm2), a GGUF file, a Hugging Face directory, a hub id owner/name, or
            random:SHAPE@FORMAT.
        output: A new GGUF file for a GGUF source, else a new directory.
        weights: 4 or 8 bits with a scale for 32 values (q4, q8), or plain floats.
    """
    from headrace.build.quantize import quantize as write
    from headrace.checkpoint.progress import directory_bytes

    path = write(source, output, weights, terminal_progress())
    size = directory_bytes(path) if path.is_dir() else path.stat().st_size
    note(f"{byte_count(size)} written")
    print(path)
