"""Matrices as the publishers of quantised checkpoints write them, and what these mean by them.

Each scheme draws a matrix of random codes and scales and gives its tensors, and its values by the
publisher's own formula, written down in torch as the publisher has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Scheme:
    """One way to publish a matrix.

    Attributes:
        draw: (generator, rows, cols) → tensors by the rest of their names, and values [rows, cols].
        format: the storage format that headrace reads it as.
    """

    name: str
    config: dict[str, Any]
    format: str
    draw: Callable[[torch.Generator, int, int], tuple[Tensors, Tensor]] = field(repr=False)


def _codes(g: torch.Generator, bits: int, rows: int, cols: int) -> Tensor:
    return torch.randint(0, 1 << bits, (rows, cols), generator=g, dtype=torch.int32)


def _scales(g: torch.Generator, *shape: int, spread: float = 0.02) -> Tensor:
    """About `spread`, which is to make values of the size of trained weights."""
    return (torch.rand(*shape, generator=g) + 0.5) * spread


def _spread(bits: int) -> float:
    return 0.32 / (1 << bits)


def _pack(codes: Tensor, bits: int, axis: int) -> Tensor:
    """Neighbours along an axis in 32-bit words, the first in the lowest bits."""
    moved = codes.movedim(axis, -1)
    count = 32 // bits
    moved = torch.nn.functional.pad(moved, (0, -moved.shape[-1] % count))
    words = torch.zeros((*moved.shape[:-1], moved.shape[-1] // count), dtype=torch.int64)
    for place in range(count):
        words |= moved[..., place::count].long() << (bits * place)
    return words.to(torch.int32).movedim(-1, axis).contiguous()


def gptq(
    bits: int = 4,
    group: int = 128,
    symmetric: bool = True,
    layout: str = "gptq",
    scattered: bool = False,
    index: bool = True,
) -> Scheme:
    """AutoGPTQ, `qlinear_cuda_old.QuantLinear`: `forward` without its kernels."""
    most = (1 << bits) - 1

    def draw(g: torch.Generator, rows: int, cols: int) -> tuple[Tensors, Tensor]:
        size = cols if group == -1 else group
        groups = -(-cols // size)
        codes = _codes(g, bits, cols, rows)
        scales = _scales(g, groups, rows, spread=_spread(bits)).half()
        zeros = torch.full((groups, rows), 1 << (bits - 1), dtype=torch.int32)
        if not symmetric:
            zeros = _codes(g, bits, groups, rows)
        g_idx = torch.arange(cols) // size
        if scattered:
            g_idx = g_idx[torch.randperm(cols, generator=g)]
        stored = (zeros - 1) & most if layout == "gptq" else zeros
        tensors = {
            "qweight": _pack(codes, bits, 0),
            "qzeros": _pack(stored, bits, 1),
            "scales": scales,
        }
        if index:
            tensors["g_idx"] = g_idx.int()
        return tensors, _gptq_values(tensors, g_idx, scattered)

    def _gptq_values(tensors: Tensors, g_idx: Tensor, in_half: bool) -> Tensor:
        wf = torch.arange(0, 32, bits, dtype=torch.int32)
        scales = tensors["scales"]
        zeros = (tensors["qzeros"].unsqueeze(2) >> wf) & most
        if layout == "gptq":
            zeros = (zeros + 1) & most
        zeros = zeros.reshape(len(scales), -1)[:, : scales.shape[1]]
        weight = (tensors["qweight"].unsqueeze(1) >> wf[None, :, None]) & most
        weight = weight.reshape(-1, weight.shape[-1])
        factors = scales[g_idx] if in_half else scales[g_idx].float()
        return (factors * (weight - zeros[g_idx])).float().T

    config = {
        "quant_method": "gptq",
        "bits": bits,
        "group_size": group,
        "sym": symmetric,
        "desc_act": scattered,
        "checkpoint_format": layout,
    }
    block = 128 if group == -1 else group
    format = f"int{bits}_g{block}_f16{'' if symmetric else 'z'}"
    format = "q4_0" if format == "int4_g32_f16" else format
    name = f"gptq{bits} g{group} {'sym' if symmetric else 'asym'} {layout}"
    name += " scattered" if scattered else "" if index else " without g_idx"
    return Scheme(name, config, "f16" if scattered else format, draw)


def awq(group: int = 128) -> Scheme:
    """AutoAWQ, `awq/utils/packing_utils.py`: unpack_awq, reverse_awq_order, dequantize_gemm."""
    order, reverse = (0, 2, 4, 6, 1, 3, 5, 7), (0, 4, 1, 5, 2, 6, 3, 7)

    def pack(codes: Tensor) -> Tensor:
        words = torch.zeros((codes.shape[0], codes.shape[1] // 8), dtype=torch.int64)
        for place, row in enumerate(order):
            words |= codes[:, row::8].long() << (4 * place)
        return words.to(torch.int32)

    def unpack(words: Tensor) -> Tensor:
        shifts = torch.arange(0, 32, 4)
        values = ((words[:, :, None] >> shifts) & 15).reshape(words.shape[0], -1)
        places = torch.arange(values.shape[1]).reshape(-1, 8)[:, list(reverse)].reshape(-1)
        return values[:, places]

    def draw(g: torch.Generator, rows: int, cols: int) -> tuple[Tensors, Tensor]:
        size = cols if group == -1 else group
        groups = -(-cols // size)
        tensors = {
            "qweight": pack(_codes(g, 4, cols, rows)),
            "qzeros": pack(_codes(g, 4, groups, rows)),
            "scales": _scales(g, groups, rows).half(),
        }
        weight, zeros = unpack(tensors["qweight"]), unpack(tensors["qzeros"])
        scales = tensors["scales"].float().repeat_interleave(size, 0)[:cols]
        return tensors, ((weight - zeros.repeat_interleave(size, 0)[:cols]) * scales).T

    config = {"quant_method": "awq", "bits": 4, "group_size": group, "version": "gemm"}
    block = 128 if group == -1 else group
    return Scheme(f"awq g{group}", config, f"int4_g{block}_f16z", draw)


def fp8(block: int = 128, kind: torch.dtype = torch.float32) -> Scheme:
    """DeepSeek-V3, `inference/kernel.py`: `weight_dequant`."""

    def draw(g: torch.Generator, rows: int, cols: int) -> tuple[Tensors, Tensor]:
        weight = (torch.randn(rows, cols, generator=g) * 60).to(torch.float8_e4m3fn)
        scales = _scales(g, -(-rows // block), -(-cols // block), spread=0.001).to(kind)
        spread = scales.float().repeat_interleave(block, 0)[:rows]
        values = weight.float() * spread.repeat_interleave(block, 1)[:, :cols]
        return {"weight": weight, "weight_scale_inv": scales}, values

    config = {
        "quant_method": "fp8",
        "fmt": "e4m3",
        "activation_scheme": "dynamic",
        "weight_block_size": [block, block],
    }
    return Scheme(f"fp8 {block} {kind}", config, f"f8_g{block}", draw)


def compressed(format: str, **weights: Any) -> dict[str, Any]:
    """The configuration of compressed-tensors with one group."""
    group = {"targets": ["Linear"], "weights": weights, "format": format}
    return {
        "quant_method": "compressed-tensors",
        "format": format,
        "quantization_status": "compressed",
        "config_groups": {"group_0": group},
        "ignore": ["lm_head"],
    }


def float_quantized(strategy: str) -> Scheme:
    """compressed-tensors, float-quantized: `dequantize` with one scale a tensor or a row."""

    def draw(g: torch.Generator, rows: int, cols: int) -> tuple[Tensors, Tensor]:
        weight = (torch.randn(rows, cols, generator=g) * 60).to(torch.float8_e4m3fn)
        shape = (1,) if strategy == "tensor" else (rows, 1)
        scales = _scales(g, *shape, spread=0.001).bfloat16()
        return {"weight": weight, "weight_scale": scales}, weight.float() * scales.float()

    config = compressed("float-quantized", num_bits=8, type="float", strategy=strategy)
    return Scheme(f"float-quantized {strategy}", config, "f8_g128", draw)


def int_quantized(symmetric: bool) -> Scheme:
    """compressed-tensors, int-quantized: int8, one scale a row."""

    def draw(g: torch.Generator, rows: int, cols: int) -> tuple[Tensors, Tensor]:
        weight = (_codes(g, 8, rows, cols) - 128).to(torch.int8)
        scales = _scales(g, rows, 1, spread=0.001).bfloat16()
        zeros = (_codes(g, 8, rows, 1) - 128).to(torch.int8) * (not symmetric)
        tensors = {"weight": weight, "weight_scale": scales}
        if not symmetric:
            tensors["weight_zero_point"] = zeros
        return tensors, (weight.float() - zeros) * scales.float()

    config = compressed(
        "int-quantized", num_bits=8, type="int", strategy="channel", symmetric=symmetric
    )
    name = f"int-quantized {'sym' if symmetric else 'asym'}"
    return Scheme(name, config, f"int8_g128_bf16{'' if symmetric else 'z'}", draw)


def pack_quantized(
    bits: int, group: int | None, symmetric: bool = True, kind: torch.dtype = torch.bfloat16
) -> Scheme:
    """compressed-tensors, pack-quantized: `unpack_from_int32` and `dequantize`."""
    zero = 1 << (bits - 1)

    def draw(g: torch.Generator, rows: int, cols: int) -> tuple[Tensors, Tensor]:
        size = cols if group is None else group
        codes = _codes(g, bits, rows, cols)
        scales = _scales(g, rows, -(-cols // size), spread=_spread(bits)).to(kind)
        zeros = torch.full(scales.shape, zero, dtype=torch.int32)
        if not symmetric:
            zeros = _codes(g, bits, *scales.shape)
        tensors = {
            "weight_packed": _pack(codes, bits, 1),
            "weight_scale": scales,
            "weight_shape": torch.tensor([rows, cols]),
        }
        if not symmetric:
            tensors["weight_zero_point"] = _pack(zeros, bits, 0)
        steps = codes - zeros.repeat_interleave(size, 1)[:, :cols]
        return tensors, steps * scales.float().repeat_interleave(size, 1)[:, :cols]

    weights = {"num_bits": bits, "type": "int", "symmetric": symmetric}
    weights |= {"strategy": "channel"} if group is None else {"strategy": "group"}
    config = compressed("pack-quantized", **weights, group_size=group)
    names = {torch.bfloat16: "bf16", torch.float16: "f16", torch.float32: "f32"}
    format = f"int{bits}_g{group or 128}_{names[kind]}{'' if symmetric else 'z'}"
    format = "q4_0" if format == "int4_g32_f16" else format
    name = f"pack{bits} g{group} {'sym' if symmetric else 'asym'} {names[kind]}"
    return Scheme(name, config, format, draw)


E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)


def _mxfp4(g: torch.Generator, rows: int, cols: int) -> tuple[Tensor, Tensor, Tensor]:
    """Bytes [rows, groups, 16], scales [rows, groups], values."""
    bytes_ = torch.randint(0, 256, (rows, cols // 32, 16), generator=g, dtype=torch.uint8)
    scales = torch.randint(119, 124, (rows, cols // 32), generator=g, dtype=torch.uint8)
    table = torch.tensor([*E2M1, *(-each for each in E2M1)])
    pairs = torch.stack([table[(bytes_ & 15).long()], table[(bytes_ >> 4).long()]], -1)
    values = pairs.reshape(rows, cols // 32, 32) * 2.0 ** (scales.float() - 127)[..., None]
    return bytes_, scales, values.reshape(rows, cols)


def mxfp4() -> Scheme:
    """gpt-oss: `*_blocks` and `*_scales`."""

    def draw(g: torch.Generator, rows: int, cols: int) -> tuple[Tensors, Tensor]:
        bytes_, scales, values = _mxfp4(g, rows, cols)
        return {"weight_blocks": bytes_, "weight_scales": scales}, values

    return Scheme("mxfp4", {"quant_method": "mxfp4"}, "mxfp4", draw)


def compressed_mxfp4() -> Scheme:
    def draw(g: torch.Generator, rows: int, cols: int) -> tuple[Tensors, Tensor]:
        bytes_, scales, values = _mxfp4(g, rows, cols)
        return {"weight_packed": bytes_.reshape(rows, -1), "weight_scale": scales}, values

    config = compressed("mxfp4-pack-quantized", num_bits=4, type="float", group_size=32)
    return Scheme("mxfp4-pack-quantized", config, "mxfp4", draw)


SCHEMES = (
    gptq(),
    gptq(group=32),
    gptq(group=64, symmetric=False),
    gptq(group=-1, symmetric=False),
    gptq(group=64, symmetric=False, layout="gptq_v2"),
    gptq(group=64, layout="gptq_v2"),
    gptq(group=64, index=False),
    gptq(bits=8),
    gptq(bits=8, group=32, symmetric=False),
    gptq(group=64, scattered=True),
    gptq(bits=8, group=32, symmetric=False, scattered=True),
    awq(),
    awq(group=32),
    awq(group=-1),
    fp8(),
    fp8(block=64, kind=torch.bfloat16),
    float_quantized("tensor"),
    float_quantized("channel"),
    int_quantized(symmetric=True),
    int_quantized(symmetric=False),
    pack_quantized(4, 128),
    pack_quantized(4, 32, kind=torch.float16),
    pack_quantized(4, None),
    pack_quantized(4, 64, symmetric=False),
    pack_quantized(4, None, symmetric=False),
    pack_quantized(8, 128, kind=torch.float32),
    pack_quantized(8, None, symmetric=False),
    mxfp4(),
    compressed_mxfp4(),
)
