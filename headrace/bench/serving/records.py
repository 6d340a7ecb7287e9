"""What a load generator has recorded of each answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from headrace.errors import MachineError


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, as its client saw it; seconds.

    Attributes:
        start, end: of the request, by one clock.
        first: from its start to the first piece of text. gaps: between pieces.
        tokens: as the server counts them; pieces, where it does not.
    """

    start: float
    end: float
    first: float
    gaps: tuple[float, ...]
    tokens: int


@dataclass(frozen=True, slots=True)
class Load:
    """All answers of one run."""

    answers: tuple[Answer, ...]

    @property
    def seconds(self) -> float:
        """From the first request to the end of the last answer."""
        return max(each.end for each in self.answers) - min(each.start for each in self.answers)

    @property
    def tokens(self) -> int:
        return sum(each.tokens for each in self.answers)

    @property
    def firsts(self) -> list[float]:
        """Seconds to first tokens, sorted."""
        return sorted(each.first for each in self.answers)

    @property
    def gaps(self) -> list[float]:
        """Seconds between pieces of the same answer, sorted."""
        return sorted(gap for each in self.answers for gap in each.gaps)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The least value that `share` of the values do not exceed; 0 if there are none."""
    if not ordered:
        return 0.0
    return ordered[ceil(share * len(ordered)) - 1]


def read_records(path: Path, count: int) -> Load:
    """Read aiperf's records: one JSON a line; those of warming up are left out.

    Raises:
        MachineError: there are not `count` complete answers.
    """
    try:
        records: list[dict[str, Any]] = [json.loads(each) for each in path.read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise MachineError(f"the load generator has left no records: {error}") from error
    profiled = [each for each in records if each["metadata"]["benchmark_phase"] == "profiling"]
    answers = tuple(_answer(each) for each in profiled if not each.get("error"))
    if len(answers) != count:
        errors = [str(each["error"]) for each in profiled if each.get("error")]
        why = f": {errors[0]}" if errors else ""
        raise MachineError(f"{len(answers)} of {count} requests were answered{why}")
    return Load(answers)


def _answer(record: dict[str, Any]) -> Answer:
    data, metrics = record["metadata"], record["metrics"]
    gaps = tuple(gap / 1e3 for gap in metrics.get("inter_chunk_latency", {"value": []})["value"])
    counted = metrics.get("usage_completion_tokens", {"value": len(gaps) + 1})
    return Answer(
        start=data["request_start_ns"] / 1e9,
        end=data["request_end_ns"] / 1e9,
        first=metrics["time_to_first_token"]["value"] / 1e3,
        gaps=gaps,
        tokens=int(counted["value"]),
    )
