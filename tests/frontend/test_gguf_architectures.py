"""Every architecture of GGUF: a tiny model converted, read back, and compared with itself."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from headrace.checkpoint.binding import bind
from headrace.checkpoint.source import Source, open_checkpoint
from headrace.checkpoint.tensors import Checkpoint
from headrace.frontend.gguf_architectures import ARCHITECTURES
from headrace.frontend.gguf_bindings import gguf_bindings
from headrace.frontend.gguf_config import gguf_config
from headrace.frontend.gguf_rotary import scale_rotary
from headrace.frontend.instantiate import instantiate
from tests.frontend.gguf_cases import CASES, Case
from tests.frontend.gguf_converter import convert

# What says nothing of the computation, or only of training.
IGNORED = {
    "architectures",
    "bos_token_id",
    "eos_token_id",
    "sep_token_id",
    "dtype",
    "transformers_version",
    "_name_or_path",
    "pad_token_id",
    "max_window_layers",
    "use_sliding_window",
    "sliding_window_pattern",
    "no_rope_layer_interval",
    "head_dim",
    "n_inner",
    "model_type",
}


@cache
def random_model(case: Case) -> PreTrainedModel:
    """Parameters in steps of 1/512, so that one may be added to them and taken away exactly."""
    generator = torch.Generator().manual_seed(0)
    model = AutoModelForCausalLM.from_config(case.make(), dtype=torch.float32).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            mean = 0.5 if "norm" in name else 0.0
            parameter.normal_(mean, 0.2, generator=generator)
            parameter.copy_((parameter * 512).round() / 512)
    return model


def converted(case: Case, path: Path) -> Checkpoint:
    file = convert(random_model(case), path / f"{case.name}.gguf", case.architecture)
    return open_checkpoint(Source("gguf", file, case.name))


def plain(config: PretrainedConfig) -> dict[str, Any]:
    fields = {key: value for key, value in config.to_dict().items() if key not in IGNORED}
    if "attn_config" in fields:
        names = ("alibi", "alibi_bias_max", "clip_qkv", "softmax_scale", "qk_ln")
        fields["attn_config"] = {name: fields["attn_config"][name] for name in names}
    rope = fields.pop("rope_parameters", None)
    if rope is not None and rope.get("rope_type") not in ("llama3", "longrope"):
        fields["rope_parameters"] = rope
    return fields


def test_every_architecture_has_a_case() -> None:
    assert {case.architecture for case in CASES} == set(ARCHITECTURES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_configuration_and_weights(case: Case, tmp_path: Path) -> None:
    model = random_model(case)
    checkpoint = converted(case, tmp_path)
    config = gguf_config(checkpoint)
    if type(config) is type(model.config):
        ours, theirs = plain(config), plain(model.config)
        common = ours.keys() & theirs.keys()
        rope = {"rope_parameters"} if "rope_parameters" not in common else set[str]()
        assert {key: ours[key] for key in common} == {key: theirs[key] for key in common}
        assert ours.keys() - theirs.keys() <= rope
    bindings = gguf_bindings(instantiate(copy.deepcopy(config)), config, checkpoint)
    twin = AutoModelForCausalLM.from_config(
        config, dtype=torch.float32, attn_implementation=model.config._attn_implementation
    ).eval()
    parameters = dict(twin.named_parameters())
    for name, expected in model.named_parameters():
        got = bind(checkpoint, bindings[name]).dequantise()
        np.testing.assert_array_equal(got, expected.detach().numpy(), err_msg=name)
        with torch.no_grad():
            parameters[name].copy_(torch.from_numpy(got.copy()))
    assert_same_logits(twin, model, checkpoint)


def assert_same_logits(
    twin: PreTrainedModel, model: PreTrainedModel, checkpoint: Checkpoint
) -> None:
    """The model made from the file computes what the original does: nothing is configured away.

    Only Llama 3's frequencies come another way, through factors rounded to float32.
    """
    held = dict(twin.named_buffers())
    scaled = {name: values.clone() for name, values in held.items()}
    scale_rotary(checkpoint, scaled)
    for name, values in scaled.items():
        held[name].copy_(values)
    ids = torch.from_numpy(np.random.default_rng(1).integers(0, 96, (1, 40)))
    with torch.no_grad():
        ours, theirs = twin(ids).logits, model(ids).logits
    tolerance = 1e-5 if "rope_freqs.weight" in checkpoint.names() else 0.0
    assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()
