"""Results on disk, complete after each workload."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headrace import cache
from headrace.bench.suite.result import Result
from headrace.bench.suite.workloads import WORKLOADS
from headrace.errors import MalformedFileError, RequestError

FILE = "benchmarks.json"
#: Conditions that may differ from run to run without making another comparison of it.
_PASSING = ("read_rate",)


@dataclass(frozen=True, slots=True)
class Report:
    """Results under the same conditions, in the table's order.

    Attributes:
        conditions: by name; the machine, threads and versions.
    """

    conditions: Mapping[str, str]
    results: tuple[Result, ...] = ()

    def result(self, workload: str) -> Result | None:
        return next((each for each in self.results if each.workload == workload), None)

    def with_result(self, result: Result) -> Report:
        """With a result in the place of an older one of the same workload."""
        others = (each for each in self.results if each.workload != result.workload)
        return replace(self, results=_in_order([*others, result]))

    def to_json(self) -> str:
        results = [each.to_fields() for each in self.results]
        return json.dumps({"conditions": dict(self.conditions), "results": results}, indent=1)


def _in_order(results: Iterable[Result]) -> tuple[Result, ...]:
    places = {name: place for place, name in enumerate(WORKLOADS)}
    return tuple(sorted(results, key=lambda each: places.get(each.workload, len(places))))


def read_report(path: Path) -> Report:
    """Read what `write_report` wrote.

    Raises:
        MalformedFileError: it is something else.
    """
    try:
        fields: dict[str, Any] = json.loads(path.read_text("utf-8"))
        results = tuple(Result.from_fields(each) for each in fields["results"])
        return Report(dict(fields["conditions"]), results)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MalformedFileError(
            f"this is no report of the suite: {error}",
            where=str(path),
            hint="choose another --output, or delete the file",
        ) from error


def write_report(report: Report, directory: Path) -> None:
    """Write a report, whole or not at all.

    Raises:
        CacheError: it cannot be written.
    """
    with cache.atomic_path(directory / FILE) as path:
        path.write_text(report.to_json() + "\n", "utf-8")
        path.chmod(0o644)


def continued(directory: Path, conditions: Mapping[str, str]) -> Report:
    """The report of earlier runs there, under the present conditions; an empty one if none.

    Raises:
        RequestError: what is there was measured under other conditions.
        MalformedFileError: what is there is no report.
    """
    path = directory / FILE
    if not path.exists():
        return Report(conditions)
    found = read_report(path)
    differing = [
        name
        for name in sorted({*conditions, *found.conditions} - set(_PASSING))
        if conditions.get(name) != found.conditions.get(name)
    ]
    if differing:
        raise RequestError(
            f"the results there were measured under other conditions ({', '.join(differing)})",
            where=str(path),
            hint="choose another --output, or delete the file",
        )
    return replace(found, conditions=conditions)
