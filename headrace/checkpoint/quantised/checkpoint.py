"""A model directory with quantised matrices, under the names of the module's parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from headrace.checkpoint.quantised.awq import PARTS as AWQ_PARTS
from headrace.checkpoint.quantised.awq import AwqMatrix
from headrace.checkpoint.quantised.config import (
    Scheme,
    block_shape,
    read_scheme,
    weight_settings,
)
from headrace.checkpoint.quantised.eight_bits import EIGHT_BITS, EightBitMatrix
from headrace.checkpoint.quantised.eight_bits import PARTS as EIGHT_BIT_PARTS
from headrace.checkpoint.quantised.gptq import PARTS as GPTQ_PARTS
from headrace.checkpoint.quantised.gptq import GptqMatrix
from headrace.checkpoint.quantised.module import Parts, Quantised, parts_of
from headrace.checkpoint.quantised.mxfp4 import Mxfp4Matrix
from headrace.checkpoint.quantised.packed import PARTS as PACKED_PARTS
from headrace.checkpoint.quantised.packed import PackedMatrix
from headrace.checkpoint.safetensors import SafetensorsCheckpoint, open_safetensors
from headrace.checkpoint.tensors import Checkpoint, StoredTensor, TensorFacts

#: What activations and KV entries are scaled by when others quantise them; we choose for ourselves.
ACTIVATION_LEAVES = (
    "input_scale",
    "input_zero_point",
    "input_global_scale",
    "output_scale",
    "output_zero_point",
    "activation_scale",
    "q_scale",
    "k_scale",
    "v_scale",
    "prob_scale",
)


class QuantisedCheckpoint:
    """A directory whose matrices are found in their parts; everything else is as stored."""

    def __init__(self, plain: SafetensorsCheckpoint, matrices: Mapping[str, Quantised]) -> None:
        self._plain = plain
        self._matrices = matrices

    @property
    def path(self) -> Path:
        return self._plain.path

    @property
    def metadata(self) -> Mapping[str, object]:
        return self._plain.metadata

    def names(self) -> Sequence[str]:
        """Matrices under their parameters' names, and the tensors that are stored plainly."""
        taken = {name for each in self._matrices.values() for name in each.parts.names.values()}
        plain = [name for name in self._plain.names() if name not in taken]
        return [*self._matrices, *(each for each in plain if not _scales_activations(each))]

    def tensor(self, name: str) -> StoredTensor:
        matrix = self._matrices.get(name)
        return self._plain.tensor(name) if matrix is None else matrix.stored(name)

    def facts(self, name: str) -> TensorFacts:
        matrix = self._matrices.get(name)
        if matrix is None:
            return self._plain.facts(name)
        stored = matrix.stored(name)
        return TensorFacts(stored.format.name, stored.shape, stored.nbytes)

    def release(self) -> None:
        self._plain.release()


def open_directory(directory: Path) -> Checkpoint:
    """Map the weights of a model directory, quantised or not, and check their headers.

    Raises:
        SourceError: the directory holds no weights.
        MalformedFileError: a header, the index or the configuration contradicts the files.
        UnsupportedFormatError: the weights are quantised in a way that is not read.
    """
    plain = open_safetensors(directory)
    scheme = read_scheme(directory)
    if scheme is None:
        return plain
    return QuantisedCheckpoint(plain, dict(_FINDERS[scheme.method](plain, scheme)))


def _scales_activations(name: str) -> bool:
    return name.rpartition(".")[2] in ACTIVATION_LEAVES


def _modules(plain: SafetensorsCheckpoint, leaf: str) -> Iterator[str]:
    """The modules that have a tensor `leaf`."""
    ending = f".{leaf}"
    return (name.removesuffix(ending) for name in plain.names() if name.endswith(ending))


Found = Iterator[tuple[str, Quantised]]


def _gptq(plain: SafetensorsCheckpoint, scheme: Scheme) -> Found:
    for module in _modules(plain, "qweight"):
        yield f"{module}.weight", GptqMatrix(parts_of(plain, module, GPTQ_PARTS), scheme)


def _awq(plain: SafetensorsCheckpoint, scheme: Scheme) -> Found:
    for module in _modules(plain, "qweight"):
        yield f"{module}.weight", AwqMatrix(parts_of(plain, module, AWQ_PARTS), scheme)


def _eight_bits(plain: SafetensorsCheckpoint, block: tuple[int, int] | None) -> Found:
    for module in _modules(plain, "weight"):
        entry = plain.entry(f"{module}.weight")
        if entry is not None and entry.dtype in EIGHT_BITS:
            parts = parts_of(plain, module, EIGHT_BIT_PARTS)
            yield f"{module}.weight", EightBitMatrix(parts, block)


def _fp8(plain: SafetensorsCheckpoint, scheme: Scheme) -> Found:
    return _eight_bits(plain, block_shape(scheme, scheme.settings.get("weight_block_size")))


def _compressed(plain: SafetensorsCheckpoint, scheme: Scheme) -> Found:
    blocks = [each.get("block_structure") for each in weight_settings(scheme)]
    block = next((each for each in blocks if each is not None), None)
    yield from _eight_bits(plain, block_shape(scheme, block))
    for module in _modules(plain, "weight_packed"):
        entry = plain.entry(f"{module}.weight_packed")
        if entry is not None and entry.dtype == "U8":
            names = {"codes": f"{module}.weight_packed", "scales": f"{module}.weight_scale"}
            yield f"{module}.weight", Mxfp4Matrix(Parts(plain, module, names))
        else:
            parts = parts_of(plain, module, PACKED_PARTS)
            yield f"{module}.weight", PackedMatrix(parts, scheme)


def _mxfp4(plain: SafetensorsCheckpoint, scheme: Scheme) -> Found:
    del scheme  # MXFP4 has no settings
    for name in plain.names():
        if name.endswith("_blocks"):
            matrix = name.removesuffix("_blocks")
            parts = Parts(plain, matrix, {"codes": name, "scales": f"{matrix}_scales"})
            yield matrix, Mxfp4Matrix(parts)


_FINDERS = {
    "gptq": _gptq,
    "awq": _awq,
    "fp8": _fp8,
    "compressed-tensors": _compressed,
    "mxfp4": _mxfp4,
}
