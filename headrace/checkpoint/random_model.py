"""`random:SHAPE@FORMAT`: a GGUF file of random weights at the shape of a real model."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from headrace import cache
from headrace.checkpoint.progress import Progress, step
from headrace.checkpoint.random_tensors import Planned, generate, plan
from headrace.checkpoint.random_vocabulary import (
    BEGIN_ID,
    END_ID,
    TEMPLATE,
    random_vocabulary,
)
from headrace.checkpoint.shapes import SHAPES, Shape
from headrace.errors import SourceError
from headrace.formats.storage import FORMATS, StorageFormat

if TYPE_CHECKING:
    from gguf import GGUFWriter

PREFIX = "random:"
SEED = 0
FILE_TYPES = {  # LlamaFileType; of the K formats the one that mixes least
    "f32": 0,
    "f16": 1,
    "q4_0": 2,
    "q4_1": 3,
    "q8_0": 7,
    "q5_0": 8,
    "q5_1": 9,
    "q2_k": 10,
    "q3_k": 11,
    "q4_k": 14,
    "q5_k": 16,
    "q6_k": 18,
    "iq4_nl": 25,
    "iq4_xs": 30,
    "bf16": 32,
    "mxfp4": 38,
}
HEADER_ROOM = 64 << 20


@dataclass(frozen=True, slots=True)
class RandomModel:
    """What `random:SHAPE@FORMAT` names."""

    shape_name: str
    format: StorageFormat

    @property
    def shape(self) -> Shape:
        return SHAPES[self.shape_name]

    @property
    def file_name(self) -> str:
        return f"{self.shape_name}-random.{self.format.name}.gguf"


def parse_random(text: str) -> RandomModel:
    """Read `random:SHAPE@FORMAT`.

    Raises:
        SourceError: the form, the shape or the format is unknown.
    """
    shape, at, format = text.removeprefix(PREFIX).partition("@")
    if not at or shape not in SHAPES or format not in FORMATS:
        near = get_close_matches(shape, SHAPES, 1)
        guess = f"{PREFIX}{near[0]}@q4_0? " if near else ""
        raise SourceError(
            f"'{text}' is not a random model: it is {PREFIX}SHAPE@FORMAT",
            hint=f"{guess}shapes: {', '.join(SHAPES)}; formats: {', '.join(FORMATS)}",
        )
    model = RandomModel(shape, FORMATS[format])
    _require_whole_blocks(model)
    return model


def _require_whole_blocks(model: RandomModel) -> None:
    """GGUF has no rows that end within a block."""
    for each in plan(model.shape, model.format):
        if each.shape[-1] % each.format.block:
            raise SourceError(
                f"{model.shape_name} has rows of {each.shape[-1]} values, which are no whole "
                f"{each.format.name} blocks of {each.format.block}",
                hint="take a larger shape, or a format with 32 values a block",
            )


def write_random(model: RandomModel, directory: Path, progress: Progress, seed: int = SEED) -> Path:
    """Write the model's GGUF file into `directory`, whole or not at all; one tensor in memory.

    The same seed gives the same bytes. Llama.cpp reads the file too.

    Raises:
        CacheError: the file cannot be written.
    """
    directory.mkdir(mode=cache.PRIVATE, exist_ok=True)
    target = directory / model.file_name
    tensors = list(plan(model.shape, model.format))
    total = sum(each.nbytes for each in tensors)
    cache.require_space(directory, total + HEADER_ROOM)
    with cache.atomic_path(target) as temporary:
        writer = _open_writer(model, temporary, tensors)
        try:
            with step(progress, f"writing {model.file_name}", total):
                for each in tensors:
                    writer.write_tensor_data(generate(model.shape, each, seed))
                    progress.advance(each.nbytes)
        finally:
            writer.close()
    return target


def _open_writer(model: RandomModel, path: Path, tensors: list[Planned]) -> GGUFWriter:
    """A writer whose header, key-values and tensor infos are written."""
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFWriter

    writer = GGUFWriter(path, model.shape.architecture)
    writer.add_type("model")
    writer.add_name(f"{model.shape_name}, random weights")
    writer.add_file_type(FILE_TYPES[model.format.name])
    writer.add_quantization_version(2)
    _add_sizes(writer, model.shape)
    _add_tokenizer(writer, model.shape)
    for each in tensors:
        type = GGMLQuantizationType[each.format.name.upper()]
        writer.add_tensor_info(each.name, each.shape, np.dtype(np.float32), each.nbytes, type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    return writer


def _add_sizes(writer: GGUFWriter, shape: Shape) -> None:
    writer.add_block_count(shape.layers)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_feed_forward_length(shape.intermediate)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.norm_eps)
    writer.add_vocab_size(shape.vocabulary)
    if shape.sliding_window is not None:
        writer.add_sliding_window(shape.sliding_window)


def _add_tokenizer(writer: GGUFWriter, shape: Shape) -> None:
    vocabulary = random_vocabulary(shape.vocabulary)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(BEGIN_ID)
    writer.add_eos_token_id(END_ID)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
