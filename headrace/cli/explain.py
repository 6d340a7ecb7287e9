"""`headrace explain`: the program that runs, as a table, as text, or as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from headrace.cli.choices import Isa, Kv, Mapping, Weights
from headrace.cli.console import note, terminal_progress
from headrace.cli.tables import table_console
from headrace.errors import RequestError

if TYPE_CHECKING:
    from headrace.bench.plan import Plan
    from headrace.build import Artifact, Options
    from headrace.report.explanation import Explanation, Measured

DECODE, REPETITIONS = 64, 3


def explain(
    model: str,
    /,
    *,
    ir: Literal["captured", "looped", "mapped"] | None = None,
    graph: Path | None = None,
    prompt: int = 256,
    threads: int | None = None,
    weights: Weights = "auto",
    kv: Kv = "auto",
    isa: Isa | None = None,
    mapping: Mapping = "auto",
    measure: Annotated[bool, Parameter(negative="--no-measure")] = True,
) -> None:
    """Show how a model runs: stages, bytes, token edges, and where the time goes.

    Args:
        model: An alias (smollm2), a GGUF file, a Hugging Face directory, a hub id owner/name, or
            random:SHAPE@FORMAT.
        ir: Print the program's text instead: as captured from PyTorch, with its layers looped,
            or mapped onto this machine.
        graph: Draw the program as a dataflow graph into this SVG file instead.
        prompt: Tokens in the KV cache when the step is looked at.
        threads: Workers; one for each physical core allowed, if not given.
        weights: Keep the stored format, or convert matrices: f32, bf16, or 8 or 4 bits (q8, q4).
        kv: Keep keys and values as f16 (f32 where all weights are), or as f32, f16, bf16, or 8 bits
            with a scale for each head (q8).
        isa: Code for no more than this instruction set; all that the machine has, if not given.
        mapping: Products by rows, or by columns where that saves exchanges; auto: what costs less.
        measure: Run the program for the measured figures, else only predict.
    """
    from headrace.bench.plan import Plan
    from headrace.build import Options, build, default_workers

    workers = default_workers() if threads is None else threads
    options = Options(workers, weights, kv=kv, isa=isa, mapping=mapping)
    artifact = build(model, options, terminal_progress())
    if ir is not None:
        print(artifact.program_text(ir), end="")
        return
    plan = Plan(prompt, DECODE, REPETITIONS)
    if graph is not None:
        _draw(model, artifact, plan, graph)
        return
    from headrace.report.table import print_explanation

    print_explanation(table_console(), _explained(model, artifact, options, plan, measure=measure))


def _draw(model: str, artifact: Artifact, plan: Plan, path: Path) -> None:
    from headrace.ir.dialect import parse_program
    from headrace.report.picture.draw import draw_program
    from headrace.report.stages import stage_rows

    module = parse_program(artifact.program_text("mapped"))
    text = draw_program(module, stage_rows(module, plan.kv_tokens), model)
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise RequestError(
            f"the graph cannot be written: {error.strerror}", where=str(path)
        ) from error
    note(f"drawn into {path}")


def _explained(
    model: str, artifact: Artifact, options: Options, plan: Plan, *, measure: bool
) -> Explanation:
    from headrace.bench.machine_figures import measured_figures
    from headrace.ir.dialect import parse_program
    from headrace.machine import probe_host, recall, remember
    from headrace.passes.report import report
    from headrace.report.explanation import Explanation
    from headrace.report.stages import stage_rows

    module = parse_program(artifact.program_text("mapped"))
    rows = stage_rows(module, plan.kv_tokens)
    machine = recall(probe_host().machine())
    measured = _measured(model, artifact, options, plan) if measure else None
    if measured is not None:
        formats = sorted({name for row in rows for name in row.weights})
        machine = measured_figures(machine, formats, options, terminal_progress())
        remember(machine)
    machine = machine.with_cores(min(machine.cores, options.workers))
    if measured is not None:
        size = sum(row.bytes for row in rows)
        machine = machine.with_measured(read_bandwidth=size / measured.read_seconds)
    return Explanation(
        model, plan.kv_tokens, report(module), rows, artifact.manifest, machine, measured
    )


def _measured(model: str, artifact: Artifact, options: Options, plan: Plan) -> Measured:
    from dataclasses import replace

    from headrace.bench.profile import measure
    from headrace.build import build
    from headrace.checkpoint.progress import step

    progress = terminal_progress()
    traced = build(model, replace(options, trace=True), progress)
    with step(progress, "measuring", None):
        return measure(artifact, traced, plan)
