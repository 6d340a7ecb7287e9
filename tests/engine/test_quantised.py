"""Tiny decoders as quantised directories, loaded: logits are those of the dequantised weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

from headrace.api import load
from headrace.build import Weights
from headrace.formats.quantise import convert
from headrace.formats.storage import storage_format
from tests.build.cached import save_model
from tests.checkpoint.schemes import (
    Scheme,
    awq,
    float_quantized,
    fp8,
    gptq,
    int_quantized,
    mxfp4,
    pack_quantized,
)

MORE = (
    gptq(group=64, scattered=True),
    awq(),
    gptq(bits=8, group=32),
    float_quantized("channel"),
    int_quantized(symmetric=True),
    pack_quantized(4, 64),
)
SCHEMES = (
    gptq(group=64, symmetric=False),
    fp8(),
    pack_quantized(8, None, symmetric=False),
    mxfp4(),
    *(pytest.param(each, marks=pytest.mark.slow) for each in MORE),
)
IDS = list(range(3, 40))


def save_quantised(scheme: Scheme, directory: Path) -> LlamaForCausalLM:
    """A Llama whose linears but the head are of a scheme; gives the float model they mean."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=96,
        hidden_size=128,
        intermediate_size=192,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.1,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config).eval()
    tensors = {name: each.detach().clone() for name, each in model.state_dict().items()}
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, linear in model.model.named_modules(prefix="model"):
            if isinstance(linear, torch.nn.Linear):
                parts, values = scheme.draw(random, *linear.weight.shape)
                linear.weight.copy_(values)
                del tensors[f"{name}.weight"]
                tensors |= {f"{name}.{part}": each.contiguous() for part, each in parts.items()}
                if scheme.config["quant_method"] == "gptq":  # as AutoGPTQ writes them
                    tensors[f"{name}.bias"] = torch.zeros(len(values), dtype=torch.float16)
    config.save_pretrained(directory)
    described = json.loads((directory / "config.json").read_text())
    described["quantization_config"] = scheme.config
    (directory / "config.json").write_text(json.dumps(described))
    save_file(tensors, directory / "model.safetensors")
    return model


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_logits_are_those_of_the_dequantised_weights(tmp_path: Path, scheme: Scheme) -> None:
    reference = save_quantised(scheme, tmp_path)
    with torch.no_grad():
        wanted = reference(torch.tensor([IDS])).logits[0].numpy()
    with load(tmp_path, threads=1) as model:
        got = model.logits(IDS)
        assert f'"{scheme.format}"' in model.artifact.program_text("mapped")
    error = np.sqrt(((got - wanted) ** 2).mean()) / wanted.std()
    # Products with integers take activations of 8 bits: a rounding of at most 1/254 of the largest
    # of 32, that is about one percent of a typical one, and softmax multiplies the error of a score
    # of size 10 by as much. Floats take activations as they are; KV entries are f16 in both.
    assert error < (0.1 if storage_format(scheme.format).integer else 1e-3)


@pytest.mark.parametrize("weights", ["q4", pytest.param("q8", marks=pytest.mark.slow)])
def test_floats_are_quantised_at_load(tmp_path: Path, weights: Weights) -> None:
    """Rows of 80 and 104 values: the last groups of 32 are filled in part."""
    save_model(tmp_path, hidden_size=80, intermediate_size=104, num_hidden_layers=1)
    format = storage_format({"q4": "q4_0", "q8": "q8_0"}[weights])
    model = LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                raw = convert(parameter.numpy(), format)
                parameter.copy_(torch.from_numpy(format.dequantise(raw, parameter.shape[1])))
        wanted = model(torch.tensor([IDS])).logits[0].numpy()
    with load(tmp_path, weights, threads=2) as loaded:
        got = loaded.logits(IDS)
    # As above: what is left is the rounding of activations.
    assert np.sqrt(((got - wanted) ** 2).mean()) < 0.1 * wanted.std()
