"""A model that cannot be lowered, as a user meets it: every reason, every place, exit status 1."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, MambaConfig, MixtralConfig, PretrainedConfig

LAYERS = 3


def mixture() -> PretrainedConfig:
    return MixtralConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        num_key_value_heads=1,
        num_local_experts=4,
        max_position_embeddings=64,
    )


def recurrent() -> PretrainedConfig:
    sizes = {"vocab_size": 64, "hidden_size": 32, "state_size": 4, "num_hidden_layers": LAYERS}
    return MambaConfig(**sizes, max_position_embeddings=64)


def headrace(directory: Path, config: PretrainedConfig, *arguments: str) -> str:
    """What the command writes to stderr when it fails."""
    AutoModelForCausalLM.from_config(config).save_pretrained(directory / "model")
    found = subprocess.run(
        [sys.executable, "-m", "headrace", arguments[0], str(directory / "model"), *arguments[1:]],
        env={**os.environ, "HEADRACE_CACHE": str(directory / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1
    assert found.stdout == ""
    return found.stderr


def test_explain_lists_everything_with_its_places(tmp_path: Path) -> None:
    said = headrace(tmp_path, mixture(), "explain")
    assert "Traceback" not in said
    places = dict(re.findall(r"^  (\S+) in (.+?): ", said, re.MULTILINE))
    assert places["aten.topk.default"] == "model.layers.{0-2}.mlp.gate"
    assert places["aten.sort.default"] == "model.layers.{0-2}.mlp.experts"
    assert "model.layers.{0-2}.mlp.experts.gate_up_proj" in places["parameter"]
    assert len(places) > 5
    assert re.search(r"^  at: model\.layers\.0\.mlp", said, re.MULTILINE)
    assert re.search(r"^  try: .", said, re.MULTILINE)


@pytest.mark.parametrize("arguments", [("explain",), ("run", "Hi")])
def test_code_that_cannot_be_followed_is_told_in_a_few_lines(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    said = headrace(tmp_path, recurrent(), *arguments)
    assert "the number of tokens for a constant" in said
    assert "Traceback" not in said
    assert len(said.splitlines()) < 12
