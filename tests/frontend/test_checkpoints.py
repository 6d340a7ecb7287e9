"""Checkpoints that do not fit: the error names the file, the key or the tensor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from transformers import PreTrainedModel

from headrace.checkpoint.source import Source
from headrace.errors import (
    HeadraceError,
    MalformedFileError,
    UnsupportedModelError,
)
from headrace.frontend.bindings import parameter_shapes
from headrace.frontend.instantiate import buffer_values, instantiate
from tests.frontend.models import (
    capture,
    family,
    random_model,
    save_directory,
    save_gguf,
)


@pytest.fixture(scope="module")
def llama() -> PreTrainedModel:
    return random_model(family("llama", num_hidden_layers=1))


def refusal(source: Source) -> HeadraceError:
    with pytest.raises(HeadraceError) as caught:
        capture(source)
    return caught.value


def test_unknown_architecture_lists_those_known(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "mamba2")
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    error = refusal(Source("gguf", tmp_path / "x.gguf", "x"))
    assert isinstance(error, UnsupportedModelError)
    assert "'mamba2'" in error.what
    assert "llama, qwen2, qwen3, gemma, gemma2, gemma3" in str(error.hint)


@pytest.mark.parametrize(
    ("keys", "kind", "message"),
    [
        ({"attention.head_count": "four"}, MalformedFileError, "head_count' should be one"),
        ({"rope.dimension_count": 8}, UnsupportedModelError, "rope.dimension_count' is 8"),
        ({"expert_count": 8}, UnsupportedModelError, "expert_count' is 8"),
        ({"rope.scaling.type": "longrope"}, UnsupportedModelError, "longrope"),
        ({"attention.sliding_window": 8}, UnsupportedModelError, "sliding window of 8"),
        ({"feed_forward_length": 128}, MalformedFileError, "ffn_gate.weight"),
        ({"attention.head_count": 0}, MalformedFileError, "head_count"),
        ({"attention.key_length": 2**31}, UnsupportedModelError, "attention.value_length"),
        ({"attention.head_count": 2**31}, MalformedFileError, "attn_q.weight"),
        ({"attention.head_count_kv": 3}, HeadraceError, "attn_k.weight"),
        ({"embedding_length": 100}, MalformedFileError, "token_embd.weight"),
        ({"context_length": 1}, UnsupportedModelError, "a context of 1 positions"),
        ({"block_count": 2**31}, MalformedFileError, "blk.2147483647.attn_q.weight"),
    ],
)
def test_keys_that_do_not_fit(
    keys: dict[str, Any],
    kind: type[HeadraceError],
    message: str,
    llama: PreTrainedModel,
    tmp_path: Path,
) -> None:
    error = refusal(save_gguf(llama, tmp_path / "l.gguf", "llama", keys))
    assert isinstance(error, kind)
    assert message in error.what
    if "context_length" not in keys:
        assert "l.gguf" in str(error.where)


def test_missing_tensors_are_listed(llama: PreTrainedModel, tmp_path: Path) -> None:
    left_out = ("blk.0.attn_v.weight", "output_norm.weight")
    error = refusal(save_gguf(llama, tmp_path / "l.gguf", "llama", left_out=left_out))
    assert isinstance(error, MalformedFileError)
    assert all(name in error.what for name in left_out)


def test_no_token_table(llama: PreTrainedModel, tmp_path: Path) -> None:
    error = refusal(save_gguf(llama, tmp_path / "l.gguf", "llama", left_out=("token_embd.weight",)))
    assert "token_embd.weight" in error.what


def test_tensors_left_over(llama: PreTrainedModel, tmp_path: Path) -> None:
    extra = {"blk.0.attn_q_norm.weight": np.ones(16, np.float32)}
    error = refusal(save_gguf(llama, tmp_path / "l.gguf", "llama", extra_tensors=extra))
    assert isinstance(error, UnsupportedModelError)
    assert "blk.0.attn_q_norm.weight" in error.what


def test_tied_when_there_is_no_output_tensor(llama: PreTrainedModel, tmp_path: Path) -> None:
    source = save_gguf(llama, tmp_path / "l.gguf", "llama", left_out=("output.weight",))
    captured, _ = capture(source)
    assert "lm_head.weight" not in captured.bindings


def change_config(source: Source, **changes: Any) -> Source:
    path = source.path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return source


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "nonesuch"}, "nonesuch"),
        ({"model_type": "t5"}, "t5"),
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"intermediate_size": 128}, "mlp.gate_proj.weight"),
        ({"num_hidden_layers": 2}, "model.layers.1"),
        ({"attention_bias": True}, "q_proj.bias"),
        ({"quantization_config": {"quant_method": "hqq"}}, "hqq"),
    ],
)
def test_directories_that_do_not_fit(
    changes: dict[str, Any], message: str, llama: PreTrainedModel, tmp_path: Path
) -> None:
    source = change_config(save_directory(llama, tmp_path), **changes)
    assert message in refusal(source).what


def test_code_in_a_directory_is_not_run(llama: PreTrainedModel, tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
    source = save_directory(llama, tmp_path)
    change_config(source, model_type="evil", auto_map={"AutoConfig": "evil.Evil"})
    assert isinstance(refusal(source), UnsupportedModelError)


def test_stop_tokens_of_a_directory(llama: PreTrainedModel, tmp_path: Path) -> None:
    source = save_directory(llama, tmp_path)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [5, 6]}')
    assert capture(source)[0].stop_tokens == (5, 6)


def test_names_without_the_head(llama: PreTrainedModel, tmp_path: Path) -> None:
    tied = random_model(family("llama", num_hidden_layers=1, tie_word_embeddings=True))
    source = change_config(save_directory(tied.model, tmp_path), architectures=None)
    captured, _ = capture(source)
    assert captured.bindings["model.norm.weight"].tensor == "norm.weight"


def test_buffers_have_their_values_and_parameters_none() -> None:
    model = instantiate(family("gemma3"))
    values = buffer_values(model)
    assert values["model.embed_tokens.embed_scale"].item() == 8
    assert values["model.rotary_emb.full_attention_inv_freq"][0] == 1
    assert all(parameter.is_meta for parameter in model.parameters())
    assert parameter_shapes(model)["model.norm.weight"] == (64,)
