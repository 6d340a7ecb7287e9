"""The whole suite: workload after workload, each on disk as soon as it is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from headrace import cache
from headrace.bench.suite.conditions import conditions_of
from headrace.bench.suite.measure import Settings, empty_result, measure_workload
from headrace.bench.suite.render import render
from headrace.bench.suite.result import Result
from headrace.bench.suite.store import Report, continued, write_report
from headrace.bench.suite.workload import Workload
from headrace.checkpoint.progress import Progress, step
from headrace.errors import HeadraceError


@dataclass(frozen=True, slots=True)
class Order:
    """A run of the suite.

    Attributes:
        directory: for the report and its pictures; made if it is missing.
        resume: keep the results that are there. quick: a look with fewer steps.
    """

    workloads: Sequence[Workload]
    settings: Settings
    directory: Path
    resume: bool = False
    quick: bool = False


def run_suite(order: Order, progress: Progress) -> Report:
    """Run the workloads; what is in the directory already stays, unless it is measured anew.

    A workload that fails is reported as such, and the next one runs.

    Raises:
        RequestError: the directory has results of other conditions.
        CacheError: the directory cannot be written.
    """
    with cache.reported(order.directory):
        order.directory.mkdir(parents=True, exist_ok=True)
    with step(progress, "reading memory", None):
        conditions = conditions_of(order.settings.options, quick=order.quick)
    report = continued(order.directory, conditions)
    for workload in order.workloads:
        known = report.result(workload.name)
        if order.resume and known is not None and known.error is None:
            continue
        report = report.with_result(_measured(workload, order, progress))
        write_report(report, order.directory)
    render(report, order.directory)
    return report


def _measured(workload: Workload, order: Order, progress: Progress) -> Result:
    chosen = workload.quick() if order.quick else workload
    try:
        return measure_workload(chosen, order.settings, progress)
    except HeadraceError as error:
        return replace(empty_result(chosen, order.settings), error=error.what)
