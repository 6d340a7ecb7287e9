"""Quantised model directories: values exactly as their publishers mean them, and damage named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from headrace.checkpoint.binding import Binding, bind
from headrace.checkpoint.quantised import open_directory
from headrace.checkpoint.row_view import RowView
from headrace.errors import HeadraceError, MalformedFileError, UnsupportedFormatError
from tests.checkpoint.schemes import (
    SCHEMES,
    Scheme,
    Tensors,
    awq,
    compressed,
    fp8,
    gptq,
    mxfp4,
    pack_quantized,
)

NAME = "model.layers.0.self_attn.q_proj"
ROWS, COLS = 72, 256
by_name = pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def write(directory: Path, config: dict[str, Any], tensors: Tensors) -> None:
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps({"quantization_config": config}))
    save_file(tensors, directory / "model.safetensors")


def drawn(scheme: Scheme, rows: int = ROWS, cols: int = COLS) -> tuple[Tensors, np.ndarray]:
    tensors, values = scheme.draw(generator(), rows, cols)
    return {f"{NAME}.{name}": each for name, each in tensors.items()}, values.float().numpy()


@by_name
def test_values_are_the_publishers(tmp_path: Path, scheme: Scheme) -> None:
    tensors, values = drawn(scheme)
    plain = {"model.norm.weight": torch.rand(8), f"{NAME}.bias": torch.rand(ROWS)}
    write(tmp_path, scheme.config, {**tensors, **plain})
    checkpoint = open_directory(tmp_path)
    assert set(checkpoint.names()) == {*plain, f"{NAME}.weight"}
    stored = checkpoint.tensor(f"{NAME}.weight")
    assert (stored.format.name, stored.shape) == (scheme.format, (ROWS, COLS))
    assert stored.nbytes == stored.raw.nbytes
    np.testing.assert_array_equal(stored.dequantise(), values)
    some = stored.rows(slice(5, 40))
    np.testing.assert_array_equal(stored.format.dequantise(some, COLS), values[5:40])
    scattered = np.array([70, 3, 3, 9])
    np.testing.assert_array_equal(stored.rows(scattered), stored.raw[scattered])


def test_columns_need_not_fill_the_last_block(tmp_path: Path) -> None:
    for scheme in (fp8(), gptq(group=-1), awq(), pack_quantized(4, 128), pack_quantized(8, None)):
        tensors, values = drawn(scheme, 40, 168)
        write(tmp_path / scheme.name, scheme.config, tensors)
        stored = open_directory(tmp_path / scheme.name).tensor(f"{NAME}.weight")
        np.testing.assert_array_equal(stored.dequantise(), values)


def test_some_rows_of_a_matrix_are_bound(tmp_path: Path) -> None:
    """A fused projection is taken apart by its rows."""
    tensors, values = drawn(gptq(group=32))
    write(tmp_path, gptq(group=32).config, tensors)
    views = (RowView(8, ((32, 1),)), RowView(0, ((2, 1), (16, 2))))
    bound = bind(open_directory(tmp_path), Binding(f"{NAME}.weight", views))
    rows = [8 + 2 * pair + half for half in range(2) for pair in range(16)]
    assert (bound.format.name, bound.shape) == ("q4_0", (32, COLS))
    np.testing.assert_array_equal(bound.dequantise(), values[rows])


def test_float_modules_beside_quantised_ones_stay_as_they_are(tmp_path: Path) -> None:
    tensors, _ = drawn(gptq())
    write(tmp_path, gptq().config, {**tensors, "lm_head.weight": torch.rand(8, 64).bfloat16()})
    assert open_directory(tmp_path).tensor("lm_head.weight").format.name == "bf16"


def test_scales_of_activations_are_no_tensors_of_ours(tmp_path: Path) -> None:
    tensors, _ = drawn(fp8())
    others = {
        f"{NAME}.input_scale": torch.ones(1),
        "model.layers.0.self_attn.k_scale": torch.ones(1),
    }
    write(tmp_path, fp8().config, {**tensors, **others})
    assert list(open_directory(tmp_path).names()) == [f"{NAME}.weight"]


def test_fp8_is_what_transformers_computes(tmp_path: Path) -> None:
    from transformers.integrations.finegrained_fp8 import Fp8Dequantize

    tensors, _ = drawn(fp8(), 256, 384)
    write(tmp_path, fp8().config, tensors)
    weight, scale = tensors[f"{NAME}.weight"], tensors[f"{NAME}.weight_scale_inv"]
    wanted = Fp8Dequantize(None)._dequantize_one(weight, scale)
    stored = open_directory(tmp_path).tensor(f"{NAME}.weight")
    np.testing.assert_array_equal(stored.dequantise(), wanted.numpy())


def test_mxfp4_is_what_transformers_computes(tmp_path: Path) -> None:
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    tensors, _ = drawn(mxfp4())
    write(tmp_path, mxfp4().config, tensors)
    blocks, scales = tensors[f"{NAME}.weight_blocks"], tensors[f"{NAME}.weight_scales"]
    # The library reads matrices of experts, and gives them transposed.
    wanted = convert_moe_packed_tensors(blocks[None], scales[None], dtype=torch.float32)
    stored = open_directory(tmp_path).tensor(f"{NAME}.weight")
    np.testing.assert_array_equal(stored.dequantise(), wanted[0].T.numpy())


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("group", [32, 128, None])
def test_compressed_tensors_reads_the_same(
    tmp_path: Path, bits: int, symmetric: bool, group: int | None
) -> None:
    from compressed_tensors.compressors import PackedQuantizationCompressor
    from compressed_tensors.quantization import QuantizationScheme

    scheme = pack_quantized(bits, group, symmetric)
    tensors, _ = scheme.draw(generator(), ROWS, COLS)
    whole = QuantizationScheme.model_validate(scheme.config["config_groups"]["group_0"])
    wanted = PackedQuantizationCompressor.decompress(tensors, whole)["weight"]
    write(tmp_path, scheme.config, {f"{NAME}.{name}": each for name, each in tensors.items()})
    got = torch.from_numpy(open_directory(tmp_path).tensor(f"{NAME}.weight").dequantise())
    # The library rounds the product, which is exact in float32, to the type of the scale.
    assert torch.equal(got.bfloat16(), wanted)


UNREAD = (
    ({"quant_method": "bitsandbytes", "load_in_4bit": True}, r"bitsandbytes \(4 bits\)"),
    ({"quant_method": "hqq"}, "hqq"),
    ({"quant_method": "quanto"}, "quanto"),
    ({"quant_method": ["odd"]}, "odd"),
    ({}, "no method"),
    (compressed("nvfp4-pack-quantized", num_bits=4, type="float"), "nvfp4-pack-quantized"),
    (compressed("marlin-24", num_bits=4), "marlin-24"),
    (compressed("dense") | {"sparsity_config": {"format": "sparse-bitmask"}}, "sparse-bitmask"),
    (gptq().config | {"bits": 3}, "GPTQ with 3 bits"),
    (gptq().config | {"bits": 2}, "GPTQ with 2 bits"),
    (gptq().config | {"checkpoint_format": "marlin"}, "marlin"),
    (gptq().config | {"is_marlin_format": True}, "marlin"),
    (gptq().config | {"group_size": 48}, "groups of 48"),
    (awq().config | {"version": "gemv"}, "gemv"),
    (fp8().config | {"fmt": "e5m2"}, "e5m2"),
)


@pytest.mark.parametrize(("config", "named"), UNREAD)
def test_other_schemes_are_named(tmp_path: Path, config: dict[str, Any], named: str) -> None:
    write(tmp_path, config, {"lm_head.weight": torch.rand(2, 2)})
    with pytest.raises(UnsupportedFormatError, match=named) as caught:
        open_directory(tmp_path)
    assert "GPTQ of 4 or 8 bits" in str(caught.value)


@pytest.mark.parametrize(
    "config",
    [
        gptq().config | {"group_size": "128"},
        fp8().config | {"weight_block_size": [128]},
        fp8().config | {"weight_block_size": [0, 128]},
        "gptq",
    ],
)
def test_a_malformed_configuration_is_named(tmp_path: Path, config: Any) -> None:
    write(tmp_path, config, {"lm_head.weight": torch.rand(2, 2)})
    with pytest.raises(MalformedFileError, match="quantization_config"):
        open_directory(tmp_path)


def test_matrices_of_experts_are_named(tmp_path: Path) -> None:
    bytes_ = torch.zeros(2, 4, 1, 16, dtype=torch.uint8)
    tensors = {"experts.up_blocks": bytes_, "experts.up_scales": bytes_[..., 0].contiguous()}
    write(tmp_path, mxfp4().config, tensors)
    with pytest.raises(HeadraceError, match="2 experts"):
        open_directory(tmp_path).tensor("experts.up")


@by_name
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_damage_is_named(
    tmp_path_factory: pytest.TempPathFactory, scheme: Scheme, data: st.DataObject
) -> None:
    """A part that is missing, of another shape, or of another type: an error that says where."""
    tensors, _ = drawn(scheme)
    part = data.draw(st.sampled_from(sorted(tensors)))
    damage = data.draw(st.sampled_from(["missing", "row", "dimension", "type"]))
    changed = tensors.pop(part)
    if damage == "row":
        tensors[part] = torch.cat([changed, changed[:1]])
    elif damage == "dimension":
        tensors[part] = changed[None].contiguous()
    elif damage == "type":
        tensors[part] = changed.double()
    path = tmp_path_factory.mktemp("damaged")
    write(path, scheme.config, tensors or {"x": torch.zeros(1)})
    try:
        stored = open_directory(path).tensor(f"{NAME}.weight")
        shape = stored.raw.shape
    except HeadraceError as error:
        named = str(error)
    else:  # the parts are those of another matrix, or the lost one was not needed
        assert shape == (stored.shape[0], stored.format.row_bytes(stored.shape[1]))
        return
    assert str(path) in named


def test_groups_beyond_the_scales_are_an_error(tmp_path: Path) -> None:
    tensors, _ = drawn(gptq(group=64, scattered=True))
    tensors[f"{NAME}.g_idx"][3] = 99
    write(tmp_path, gptq(group=64).config, tensors)
    with pytest.raises(MalformedFileError, match="beyond the 4"):
        open_directory(tmp_path).tensor(f"{NAME}.weight").dequantise()
