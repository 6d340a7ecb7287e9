"""`headrace bench`: speed, beside a pure read of the same bytes and beside other engines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from headrace.cli.choices import Isa, Kv, Mapping, Weights
from headrace.cli.console import note, terminal_progress
from headrace.cli.tables import table_console
from headrace.errors import RequestError

if TYPE_CHECKING:
    from headrace.bench.plan import Plan
    from headrace.build import Options

#: No word for the opposite.
Switch = Parameter(negative="")


def bench(
    model: str | None = None,
    /,
    *,
    prompt: int = 512,
    decode: int = 128,
    repetitions: int = 5,
    threads: int | None = None,
    weights: Weights = "auto",
    kv: Kv = "auto",
    isa: Isa | None = None,
    mapping: Mapping = "auto",
    peers: Annotated[bool, Switch] = False,
    peer_python: Annotated[list[Path] | None, Switch] = None,
    json: Annotated[bool, Switch] = False,
    trace: Path | None = None,
    suite: Annotated[bool, Switch] = False,
    only: Annotated[list[str] | None, Switch] = None,
    against: Annotated[list[str] | None, Switch] = None,
    output: Path = Path("benchmarks"),
    resume: Annotated[bool, Switch] = False,
    quick: Annotated[bool, Switch] = False,
) -> None:
    """Measure a model's speed on this machine, or run a whole suite of workloads.

    Args:
        model: An alias (smollm2), a GGUF file, a Hugging Face directory, a hub id owner/name, or
            random:SHAPE@FORMAT.
        prompt: Tokens of the prompt.
        decode: Tokens generated after it.
        repetitions: How often everything is measured; medians are over them.
        threads: Workers, for the peers too; one for each physical core allowed, if not given.
        weights: Keep the stored format, or convert matrices: f32, bf16, or 8 or 4 bits (q8, q4).
        kv: Keep keys and values as f16 (f32 where all weights are), or as f32, f16, bf16, or 8 bits
            with a scale for each head (q8).
        isa: Code for no more than this instruction set; all that the machine has, if not given.
        mapping: Products by rows, or by columns where that saves exchanges; auto: what costs less.
        peers: Measure llama.cpp by turns, on the same file (needs llama-cpp-python).
        peer_python: A Python that has other engines, any number of times; $HEADRACE_PEER_PYTHON or
            this one, if not given.
        json: Print one JSON object: medians by name, and all spreads under "spread".
        trace: Instead record what each worker does, write it into this file for Perfetto's viewer
            (ui.perfetto.dev), and print where the time goes (needs the package perfetto).
        suite: Instead of one model, run the table of workloads against every engine that is
            installed, and write a report with pictures.
        only: In the suite, a workload to measure, any number of times; other results are kept.
        against: In the suite, a peer, any number of times: llama.cpp, openvino, vllm, transformers,
            transformers-compiled, or none; all that are installed, if not given.
        output: The directory of the suite's report.
        resume: Go on with a suite that was interrupted: keep the results that are there.
        quick: A look at the suite in a few minutes: fewer steps, two repetitions.
    """
    if suite:
        from headrace.cli.suite import SuiteChoices, run

        _require_no_model(model)
        run(SuiteChoices(only, output, against, peer_python, repetitions, threads, resume, quick))
        return
    if model is None:
        raise RequestError("bench needs a model", hint="headrace bench smollm2, or --suite")
    from headrace.bench.benchmark import benchmark
    from headrace.bench.peers.pythons import peer_pythons
    from headrace.bench.plan import Plan
    from headrace.build import Options, default_workers

    workers = default_workers() if threads is None else threads
    options = Options(workers, weights, kv=kv, isa=isa, mapping=mapping)
    plan = Plan(prompt, decode, repetitions)
    if trace is not None:
        _trace(model, options, plan, trace)
        return
    pythons = peer_pythons(peer_python) if peers or peer_python else None
    result = benchmark(model, options, plan, pythons, terminal_progress())
    if json:
        print(result.to_json())
        return
    from headrace.bench.table import figures_table

    table_console().print(figures_table(result))


def _require_no_model(model: str | None) -> None:
    if model is not None:
        raise RequestError(
            "the suite has models of its own",
            where=model,
            hint="headrace bench --suite --only NAME",
        )


def _trace(model: str, options: Options, plan: Plan, path: Path) -> None:
    from dataclasses import replace

    from headrace.bench.trace import traced_run
    from headrace.bench.trace_file import require_perfetto, write_trace
    from headrace.bench.trace_table import trace_tables
    from headrace.build import build
    from headrace.checkpoint.progress import step

    require_perfetto()
    progress = terminal_progress()
    artifact = build(model, replace(options, trace=True), progress)
    with step(progress, "recording", None):
        run = traced_run(model, artifact, plan)
    write_trace(run, path)
    for table in trace_tables(run):
        table_console().print(table)
    note(f"trace written to {path}")
