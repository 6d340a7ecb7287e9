"""What a model directory's `config.json` says about the quantisation of its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from headrace.errors import MalformedFileError, UnsupportedFormatError

KEY = "quantization_config"
METHODS = ("fp8", "gptq", "awq", "compressed-tensors", "mxfp4")
SUPPORTED = (
    "FP8 (E4M3), GPTQ of 4 or 8 bits, AWQ of 4 bits (gemm), MXFP4, and compressed-tensors "
    "(pack-quantized, int-quantized, float-quantized, mxfp4-pack-quantized)"
)
#: Formats of compressed-tensors whose tensors are read.
COMPRESSED_FORMATS = (
    "pack-quantized",
    "int-quantized",
    "float-quantized",
    "naive-quantized",
    "mxfp4-pack-quantized",
    "mixed-precision",
    "dense",
)


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a directory's weights are quantised.

    Attributes:
        method: one of `METHODS`.
        settings: the rest of the configuration, as its publisher names it.
    """

    method: str
    path: Path
    settings: Mapping[str, Any] = field(repr=False)

    def integer(self, name: str, default: int | None = None) -> int:
        """A setting that must be an integer.

        Raises:
            MalformedFileError: it is missing or something else.
        """
        value = self.settings.get(name, default)
        if type(value) is not int:
            raise self.malformed(f"{name} is {value!r} and must be an integer")
        return value

    def malformed(self, what: str) -> MalformedFileError:
        return MalformedFileError(f"{KEY} is malformed: {what}", where=str(self.path))

    def unsupported(self, what: str) -> UnsupportedFormatError:
        return UnsupportedFormatError(
            f"the weights are quantised by {what}, which is not read",
            where=str(self.path),
            hint=f"take the original weights, a GGUF file, or one of: {SUPPORTED}",
        )


def read_scheme(directory: Path) -> Scheme | None:
    """The scheme of a model directory, or None if its weights are not quantised.

    Raises:
        MalformedFileError: the configuration is not what its method's must be.
        UnsupportedFormatError: a method, or a variant of one, that is not read; the message
            names it.
    """
    path = directory / "config.json"
    settings = _settings(path)
    if settings is None:
        return None
    method = settings.get("quant_method")
    scheme = Scheme(str(method), path, settings)
    if method not in METHODS:
        raise scheme.unsupported(f"'{_named(settings)}'")
    _CHECKS[scheme.method](scheme)
    return scheme


def _settings(path: Path) -> dict[str, Any] | None:
    try:
        config: object = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise MalformedFileError(f"this is not JSON: {error}", where=str(path)) from error
    found = cast("dict[str, object]", config).get(KEY) if isinstance(config, dict) else None
    if found is None:
        return None
    if not isinstance(found, dict):
        raise MalformedFileError(f"{KEY} is no table", where=str(path))
    return cast("dict[str, Any]", found)


def _named(settings: Mapping[str, Any]) -> str:
    """What a scheme that is not read is called; bitsandbytes says its bits in flags."""
    method = settings.get("quant_method", "no method")
    if settings.get("load_in_4bit"):
        return f"{method} (4 bits)"
    return f"{method} (8 bits)" if settings.get("load_in_8bit") else str(method)


def _check_gptq(scheme: Scheme) -> None:
    bits = scheme.integer("bits")
    if bits not in (4, 8):
        raise scheme.unsupported(f"GPTQ with {bits} bits")
    layout = scheme.settings.get("checkpoint_format", "gptq")
    if scheme.settings.get("is_marlin_format"):
        layout = "marlin"
    if layout not in ("gptq", "gptq_v2"):
        raise scheme.unsupported(f"GPTQ in the layout '{layout}'")
    _check_group(scheme, scheme.integer("group_size"))


def _check_awq(scheme: Scheme) -> None:
    bits = scheme.integer("bits" if "bits" in scheme.settings else "w_bit")
    if bits != 4:
        raise scheme.unsupported(f"AWQ with {bits} bits")
    layout = scheme.settings.get("version", scheme.settings.get("format", "gemm"))
    if str(layout).lower() != "gemm":
        raise scheme.unsupported(f"AWQ in the layout '{layout}'")
    _check_group(scheme, awq_group(scheme))


def awq_group(scheme: Scheme) -> int:
    """Columns a group; -1 for the whole row."""
    return scheme.integer("group_size" if "group_size" in scheme.settings else "q_group_size")


def _check_group(scheme: Scheme, size: int) -> None:
    if size != -1 and (size < 1 or size % 32):
        raise scheme.unsupported(f"{scheme.method.upper()} in groups of {size} columns")


def _check_fp8(scheme: Scheme) -> None:
    kind = scheme.settings.get("fmt", "e4m3")
    if kind != "e4m3":
        raise scheme.unsupported(f"FP8 as {kind}")
    block_shape(scheme, scheme.settings.get("weight_block_size"))


def block_shape(scheme: Scheme, given: object) -> tuple[int, int] | None:
    """Rows and columns that share a scale, where the configuration says so."""
    if given is None:
        return None
    block = cast("list[object]", given) if isinstance(given, list) else []
    if len(block) != 2 or not all(type(each) is int and each > 0 for each in block):
        raise scheme.malformed(f"a block of weights is {given!r} and must be two sizes")
    return cast("tuple[int, int]", tuple(block))


def _check_compressed(scheme: Scheme) -> None:
    formats = [scheme.settings.get("format", "dense")]
    for group in config_groups(scheme):
        formats.append(group.get("format") or formats[0])
    for each in formats:
        if each not in COMPRESSED_FORMATS:
            raise scheme.unsupported(f"compressed-tensors as '{each}'")
    sparse = _table(scheme.settings.get("sparsity_config")).get("format", "dense")
    if sparse != "dense":
        raise scheme.unsupported(f"compressed-tensors, sparse as '{sparse}'")


def config_groups(scheme: Scheme) -> Sequence[Mapping[str, Any]]:
    """The groups of modules that compressed-tensors configures."""
    return [_table(each) for each in _table(scheme.settings.get("config_groups")).values()]


def weight_settings(scheme: Scheme) -> Sequence[Mapping[str, Any]]:
    """The settings of weights in the groups of compressed-tensors."""
    return [_table(group.get("weights")) for group in config_groups(scheme)]


def _table(value: object) -> Mapping[str, Any]:
    """A table of the configuration; where it has none, an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _check_nothing(scheme: Scheme) -> None:
    """MXFP4 has no variants."""


_CHECKS = {
    "gptq": _check_gptq,
    "awq": _check_awq,
    "fp8": _check_fp8,
    "compressed-tensors": _check_compressed,
    "mxfp4": _check_nothing,
}
