"""One cache and one tiny model for the tests of build, engine, api and cli: compiled once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

RANDOM = "random:tiny-llama@q4_0"
CONTEXT = 4096
CHAT = (
    "{% for message in messages %}<user>{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@contextmanager
def shared_cache(factory: pytest.TempPathFactory) -> Iterator[Path]:
    """HEADRACE_CACHE for a test module, the same for all that use it in a session."""
    directory = factory.getbasetemp() / "shared-cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADRACE_CACHE", str(directory))
        yield directory


def tiny_directory(factory: pytest.TempPathFactory) -> Path:
    """A Llama with random float32 weights and a byte-level tokenizer, as transformers saves it."""
    directory = factory.getbasetemp() / "tiny-directory"
    if not directory.exists():
        save_model(directory)
        save_tokenizer(directory)
    return directory


def save_model(directory: Path, seed: int = 0, **changes: int) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {
        "vocab_size": 260,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        **changes,
    }
    torch.manual_seed(seed)
    config = LlamaConfig(**sizes, eos_token_id=257, bos_token_id=256, initializer_range=0.3)
    LlamaForCausalLM(config).save_pretrained(directory)


def save_tokenizer(directory: Path) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: at for at, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ("<begin>", "<end>", "<user>", "<assistant>")
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in specials])
    tokenizer.save(str(directory / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<begin>",
        "eos_token": "<end>",
        "chat_template": CHAT,
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))


def environment(**changes: str) -> dict[str, str]:
    """The environment of a subprocess that runs headrace from this checkout."""
    root = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": root, "COLUMNS": "120", **changes}
