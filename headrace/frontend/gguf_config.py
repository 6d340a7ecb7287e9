"""GGUF metadata → the transformers configuration of the same model."""

from __future__ import annotations

from huggingface_hub.errors import StrictDataclassError
from transformers import PretrainedConfig

from headrace.checkpoint.tensors import Checkpoint
from headrace.errors import UnsupportedModelError
from headrace.frontend.gguf_architectures import ARCHITECTURES, Architecture
from headrace.frontend.gguf_facts import Facts, check_sizes
from headrace.frontend.metadata import read_metadata


def gguf_architecture(checkpoint: Checkpoint) -> Architecture:
    """What is known of the architecture that the file names.

    Raises:
        UnsupportedModelError: nothing.
    """
    metadata = read_metadata(checkpoint)
    found = ARCHITECTURES.get(metadata.architecture)
    if found is None:
        raise UnsupportedModelError(
            f"the architecture '{metadata.architecture}' is not supported",
            where=metadata.path,
            hint=f"take a model of one of: {', '.join(ARCHITECTURES)}",
        )
    return found


def gguf_config(checkpoint: Checkpoint) -> PretrainedConfig:
    """The configuration of a GGUF file's model.

    Raises:
        UnsupportedModelError: the architecture, or something it asks for, is not supported.
        MalformedFileError: a key is missing or of the wrong type.
    """
    architecture = gguf_architecture(checkpoint)
    metadata = read_metadata(checkpoint)
    facts = Facts(metadata, checkpoint)
    check_sizes(facts)
    try:
        return architecture.make(facts)
    except (ValueError, TypeError, StrictDataclassError) as error:
        raise UnsupportedModelError(
            f"transformers refuses the configuration: {error}", where=metadata.path
        ) from error


def gguf_stop_tokens(checkpoint: Checkpoint) -> tuple[int, ...]:
    """The ids that end a text, a turn or a message, as the file names them."""
    keys = (f"tokenizer.ggml.{kind}_token_id" for kind in ("eos", "eot", "eom"))
    found = (checkpoint.metadata.get(key) for key in keys)
    return tuple(dict.fromkeys(each for each in found if isinstance(each, int)))
