"""A user's own decoder, compiled with the weights it holds in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headrace import cache
from headrace.build.artifact import Artifact
from headrace.build.driver import WeightsOf, make_once, pack_once
from headrace.build.key import program_key, toolchain
from headrace.build.options import Options
from headrace.build.order import Order
from headrace.checkpoint.progress import NoProgress, Progress, step
from headrace.checkpoint.tensors import StoredTensor, stored_tensor
from headrace.codegen.target import Target
from headrace.formats.storage import FORMATS

if TYPE_CHECKING:
    import torch

    from headrace.frontend.capture import CapturedModule
    from headrace.text import Tokenizer

PREFIX = "module:"


def build_module(
    module: torch.nn.Module,
    tokenizer: Tokenizer | None,
    options: Options,
    context: int | None = None,
    progress: Progress | None = None,
) -> Artifact:
    """The artifact of a module; the cache keeps it by program text, weights and tokenizer.

    Args:
        module: in float32; see `headrace.frontend.capture.capture_module`.
        context: the largest number of positions; None takes the module's configuration.

    Raises:
        UnsupportedModelError: the module cannot be captured.
        CacheError: the cache cannot be written.
    """
    from headrace.build.compiler import (
        Facts,
        compile_module,
        stop_tokens,
        write_artifact,
    )

    report = progress if progress is not None else NoProgress()
    name, target = f"{PREFIX}{type(module).__name__}", Target.host(options.isa)
    captured = _capture(module, context, name, report)
    content = _content(captured, tokenizer)
    entry = cache.programs() / program_key(content, options, target)
    order = Order(name, None, content, toolchain(), options, target)

    facts = Facts(type(module).__name__, {}, stop_tokens((), tokenizer))

    def make() -> None:
        compiled = compile_module(captured.module, order, report)
        write_artifact(entry, order, facts, compiled, tokenizer)

    artifact = make_once(entry, make, report)
    weights = WeightsOf(lambda name: _stored(captured.weights, name))
    pack_once(artifact, lambda: weights, report)
    return artifact


def _capture(
    module: torch.nn.Module, context: int | None, name: str, report: Progress
) -> CapturedModule:
    with step(report, f"capturing {name}", None):
        from headrace.frontend.capture import capture_module

        return capture_module(module, context)


def _content(captured: CapturedModule, tokenizer: Tokenizer | None) -> str:
    """SHA-256 over all that the artifact is made of."""
    from headrace.ir.dialect import print_program

    digest = hashlib.sha256(print_program(captured.module).encode())
    for name, values in sorted(captured.weights.items()):
        digest.update(f"\0{name}\0".encode())
        digest.update(np.ascontiguousarray(values).data)
    digest.update(b"\0" if tokenizer is None else tokenizer.to_json().encode())
    return digest.hexdigest()


def _stored(weights: Mapping[str, NDArray[np.float32]], name: str) -> StoredTensor:
    values = np.ascontiguousarray(weights[name])
    raw = values.reshape(-1).view(np.uint8)
    return stored_tensor(name, FORMATS["f32"], values.shape, raw)
