"""A Hugging Face directory's configuration, read from its own files alone."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, GenerationConfig, PretrainedConfig

from headrace.errors import UnsupportedModelError

#: What configurations call their largest number of positions.
_CONTEXTS = ("max_position_embeddings", "max_seq_len", "n_positions", "seq_length", "n_ctx")


def directory_config(path: Path) -> PretrainedConfig:
    """The configuration in `config.json`; code in the directory is never run.

    Raises:
        UnsupportedModelError: there is none, or transformers does not know the model type.
    """
    try:
        config = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, StrictDataclassError) as error:
        raise UnsupportedModelError(
            f"the configuration cannot be read: {error}", where=str(path / "config.json")
        ) from error
    # The checkpoint reads quantised matrices itself; the module is to be of plain linears.
    vars(config).pop("quantization_config", None)
    return config


def configured_context(config: PretrainedConfig) -> int:
    """The largest number of positions that a configuration names.

    Raises:
        UnsupportedModelError: it names none.
    """
    for name in _CONTEXTS:
        if isinstance(context := getattr(config, name, None), int):
            return context
    raise UnsupportedModelError(
        "the configuration does not say how many positions the model was made for",
        where=f"a model of type '{config.model_type}'",
        hint=f"add '{_CONTEXTS[0]}' to config.json",
    )


def directory_stop_tokens(path: Path, config: PretrainedConfig) -> tuple[int, ...]:
    """The end-of-text ids of `generation_config.json`, or of the configuration."""
    ids = config.eos_token_id
    if (path / "generation_config.json").is_file():
        generation = GenerationConfig.from_pretrained(path, local_files_only=True)
        ids = generation.eos_token_id if generation.eos_token_id is not None else ids
    if ids is None:
        return ()
    return tuple(ids) if isinstance(ids, list) else (ids,)
