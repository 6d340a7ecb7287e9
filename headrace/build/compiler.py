"""The cold path: capture, map and compile a program, and write its artifact."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

from xdsl.dialects.builtin import ModuleOp

from headrace import cache
from headrace.build.artifact import ABOUT, CODE, MANIFEST, TOKENIZER, About, Level
from headrace.build.key import packed_key
from headrace.build.order import Order
from headrace.checkpoint.binding import Binding
from headrace.checkpoint.progress import Progress, step
from headrace.checkpoint.source import Source, open_checkpoint
from headrace.codegen.compile import compile_program
from headrace.codegen.manifest import Manifest
from headrace.errors import TokenizerError
from headrace.ir.dialect import print_program
from headrace.machine.host import nearest_description
from headrace.passes.pipeline import map_program
from headrace.text import Tokenizer

#: The pass after which a program is at a level of its own.
LEVEL_AFTER: Mapping[str, Level] = {"loop-layers": "looped"}


@dataclass(frozen=True, slots=True)
class Compiled:
    """A program on its way to disk."""

    code: bytes
    manifest: Manifest
    texts: Mapping[Level, str]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the checkpoint says beside the program; fields as in `About`."""

    architecture: str
    bindings: Mapping[str, Binding]
    stop_tokens: tuple[int, ...]


def compile_checkpoint(source: Source, order: Order, entry: Path, report: Progress) -> None:
    """Compile a checkpoint's model into the entry `entry`."""
    checkpoint = open_checkpoint(source)
    with step(report, f"capturing {source.name} with PyTorch", None):
        from headrace.frontend.capture import capture_checkpoint

        captured = capture_checkpoint(source, checkpoint)
    try:
        tokenizer = Tokenizer.from_checkpoint(checkpoint)
    except TokenizerError:
        tokenizer = None  # ids do without one; whoever wants text is told by Artifact.tokenizer
    stops = stop_tokens(captured.stop_tokens, tokenizer)
    facts = Facts(captured.architecture, captured.bindings, stops)
    compiled = compile_module(captured.module, order, report)
    write_artifact(entry, order, facts, compiled, tokenizer)


def stop_tokens(declared: Iterable[int], tokenizer: Tokenizer | None) -> tuple[int, ...]:
    """What ends an answer: the checkpoint's word and the tokenizer's, sorted."""
    known = () if tokenizer is None else tokenizer.stop_ids
    return tuple(sorted({*declared, *known}))


def compile_module(module: ModuleOp, order: Order, report: Progress) -> Compiled:
    """Map a captured program, in place, and generate its code."""
    options, target = order.options, order.target
    texts: dict[Level, str] = {"captured": print_program(module)}

    def observe(name: str, mapped: ModuleOp) -> None:
        if name in LEVEL_AFTER:
            texts[LEVEL_AFTER[name]] = print_program(mapped)

    with step(report, f"mapping the program onto {_workers(options.workers)}", None):
        machine = nearest_description(target.cpu, target.architecture)
        machine = machine.with_cores(options.workers)
        choices = options.weights, options.kv, options.mapping
        map_program(module, machine, *choices, observer=observe)
    texts["mapped"] = print_program(module)
    with step(report, f"compiling for {target.cpu}", None):
        code, manifest = compile_program(module, target, trace=options.trace)
    return Compiled(code, manifest, texts)


def write_artifact(
    entry: Path, order: Order, facts: Facts, compiled: Compiled, tokenizer: Tokenizer | None
) -> None:
    """Write the artifact, which appears whole under its name or not at all.

    Raises:
        CacheError: it cannot be written.
    """
    files = {f"{level}.mlir": text.encode() for level, text in compiled.texts.items()}
    files[CODE] = compiled.code
    files[MANIFEST] = compiled.manifest.to_json().encode()
    files[ABOUT] = _about(order, facts, compiled).to_json().encode()
    if tokenizer is not None:
        files[TOKENIZER] = tokenizer.to_json().encode()
    cache.require_space(entry.parent, sum(map(len, files.values())))
    with cache.atomic_directory(entry) as directory:
        for name, content in files.items():
            (directory / name).write_bytes(content)


def _about(order: Order, facts: Facts, compiled: Compiled) -> About:
    return About(
        source=order.source,
        path=order.path,
        content=order.content,
        toolchain=order.toolchain,
        workers=order.options.workers,
        weights=order.options.weights,
        kv=order.options.kv,
        trace=order.options.trace,
        target=astuple(order.target),
        packed=packed_key(order.content, compiled.manifest, facts.bindings),
        code_sha256=hashlib.sha256(compiled.code).hexdigest(),
        architecture=facts.architecture,
        bindings=facts.bindings,
        stop_tokens=facts.stop_tokens,
    )


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"
