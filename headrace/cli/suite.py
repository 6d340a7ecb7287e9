"""`headrace bench --suite`: every workload against every engine, and its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace.cli.console import note, terminal_progress
from headrace.errors import RequestError

QUICK_REPETITIONS = 2


@dataclass(frozen=True, slots=True)
class SuiteChoices:
    """What the command line says about the suite; names as its options."""

    only: Sequence[str] | None
    output: Path
    against: list[str] | None
    peer_python: Sequence[Path] | None
    repetitions: int
    threads: int | None
    resume: bool
    quick: bool


def run(choices: SuiteChoices) -> None:
    """Run the suite and say where its report is.

    Raises:
        RequestError: a choice is out of range, or matplotlib is not installed.
        HeadraceError: as `run_suite`.
    """
    from headrace.bench.peers.engines import chosen_engines
    from headrace.bench.peers.pythons import installed_packages, peer_pythons
    from headrace.bench.suite.measure import Settings
    from headrace.bench.suite.picture import require_matplotlib
    from headrace.bench.suite.render import PAGE
    from headrace.bench.suite.rivals import Field
    from headrace.bench.suite.run import Order, run_suite
    from headrace.bench.suite.workloads import chosen_workloads
    from headrace.build import Options, default_workers

    if choices.repetitions < 1:
        raise RequestError(f"repetitions is {choices.repetitions}; it must be at least 1")
    workloads, engines = chosen_workloads(choices.only), chosen_engines(choices.against)
    require_matplotlib()
    installed = {python: installed_packages(python) for python in peer_pythons(choices.peer_python)}
    options = Options(default_workers() if choices.threads is None else choices.threads)
    repetitions = QUICK_REPETITIONS if choices.quick else choices.repetitions
    settings = Settings(options, Field(engines, installed, options.workers), repetitions)
    order = Order(workloads, settings, choices.output, choices.resume, choices.quick)
    report = run_suite(order, terminal_progress())
    failed = [each for each in report.results if each.error is not None]
    for result in failed:
        note(f"{result.workload} failed: {result.error}")
    note(f"report written to {choices.output / PAGE}")
