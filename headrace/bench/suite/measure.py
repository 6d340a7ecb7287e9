"""One workload, measured: ours and every peer's run by turns."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from headrace.bench.figures import pair_ratios
from headrace.bench.spread import Spread, spreads
from headrace.bench.suite.ours import Turn, Work, decode_work, threads_work
from headrace.bench.suite.prefill import prefill_work
from headrace.bench.suite.result import EngineResult, Result
from headrace.bench.suite.rivals import Field, Rival, Rivals, rivals_of, short_reason
from headrace.bench.suite.serve import serve_work, served_rivals, traffic_of
from headrace.bench.suite.several import batch_work, mixed_work
from headrace.bench.suite.workload import Workload
from headrace.build import Artifact, Options, build
from headrace.checkpoint.progress import Progress, step
from headrace.checkpoint.source import resolve
from headrace.errors import MachineError


@dataclass(frozen=True, slots=True)
class Settings:
    """How the suite runs.

    Attributes:
        options: of our program. field: the peers. repetitions: after one to warm up.
    """

    options: Options
    field: Field
    repetitions: int


def measure_workload(workload: Workload, settings: Settings, progress: Progress) -> Result:
    """Make the model, build it, load the peers, and run all of them by turns.

    Raises:
        HeadraceError: our side fails. A peer that fails is left out, with its reason.
    """
    artifact = build(workload.model, settings.options, progress)
    with (
        _rivals(workload, artifact, settings, progress) as rivals,
        _our_work(workload, artifact, settings, progress) as work,
        step(progress, f"measuring {settings.repetitions} times", None),
    ):
        turns, theirs = _by_turns(work, rivals, settings.repetitions)
        return _result(workload, settings, turns, rivals, theirs)


def empty_result(workload: Workload, settings: Settings) -> Result:
    """A result without figures."""
    return Result(
        workload=workload.name,
        title=workload.title,
        model=workload.model,
        kind=workload.kind,
        bars=workload.bars,
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
        repetitions=settings.repetitions,
    )


def _our_work(
    workload: Workload, artifact: Artifact, settings: Settings, progress: Progress
) -> AbstractContextManager[Work]:
    match workload.kind:
        case "decode":
            return decode_work(artifact, workload)
        case "prefill":
            return prefill_work(artifact, workload)
        case "batch":
            return batch_work(artifact, workload)
        case "mixed":
            return mixed_work(artifact, workload)
        case "threads":
            return threads_work(artifact, workload, settings.options, progress)
        case "serve":
            traffic = traffic_of(artifact, workload, settings.field)
            return serve_work(artifact, traffic, settings.options.workers)


def _rivals(
    workload: Workload, artifact: Artifact, settings: Settings, progress: Progress
) -> AbstractContextManager[Rivals]:
    source, field = resolve(workload.model, progress), settings.field
    if workload.kind == "serve":
        traffic = traffic_of(artifact, workload, field)
        return served_rivals(traffic, source, field, progress)
    return rivals_of(workload, source, artifact.manifest.vocabulary, field, progress)


def _by_turns(
    work: Work, rivals: Rivals, repetitions: int
) -> tuple[list[Turn], dict[str, list[Turn]]]:
    """Our turns and each peer's; the machine's mood changes, so they follow each other."""
    work.run()
    turns: list[Turn] = []
    theirs: dict[str, list[Turn]] = {rival.engine.name: [] for rival in rivals.present}
    for number in range(repetitions):
        turns.append(work.run())
        for rival in list(rivals.present):
            try:
                theirs[rival.engine.name].append(rival.run(number))
            except MachineError as error:
                rivals.drop(rival, short_reason(error))
    return turns, theirs


def _result(
    workload: Workload,
    settings: Settings,
    turns: Sequence[Turn],
    rivals: Rivals,
    theirs: dict[str, list[Turn]],
) -> Result:
    return replace(
        empty_result(workload, settings),
        tokens_per_second=Spread.of(_rates(turns)),
        figures=_figures(turns),
        engines=tuple(
            _engine_result(rival, turns, theirs[rival.engine.name]) for rival in rivals.present
        ),
        left_out=rivals.left_out,
    )


def _engine_result(rival: Rival, ours: Sequence[Turn], theirs: Sequence[Turn]) -> EngineResult:
    return EngineResult(
        name=rival.engine.name,
        version=rival.peer.version,
        setting=rival.peer.setting,
        weights=rival.engine.weights,
        tokens_per_second=Spread.of(_rates(theirs)),
        ratio=Spread.of(pair_ratios(_rates(ours), _rates(theirs))),
        figures=_figures(theirs),
    )


def _rates(turns: Sequence[Turn]) -> list[float]:
    return [turn.tokens / turn.seconds for turn in turns]


def _figures(turns: Sequence[Turn]) -> dict[str, Spread]:
    return spreads({name: [turn.figures[name] for turn in turns] for name in turns[0].figures})
