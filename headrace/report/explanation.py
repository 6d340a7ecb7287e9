"""All that `headrace explain` says about a program on a machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.codegen.manifest import Manifest
from headrace.machine import Machine
from headrace.passes.report import ProgramReport
from headrace.report.cost import CostModel, StageCost
from headrace.report.stages import StageRow


@dataclass(frozen=True, slots=True)
class StageTime:
    """A stage's part of a step's time, a mean over workers: its work, and waiting before it."""

    work: float
    wait: float

    @property
    def share(self) -> float:
        return self.work + self.wait


@dataclass(frozen=True, slots=True)
class Measured:
    """What was seen on this machine.

    Attributes:
        step_seconds: of one token's step. read_seconds: of a pure read of the same bytes.
        stages: by name. host_calls_per_token: schedules handed to the native program.
    """

    step_seconds: float
    read_seconds: float
    stages: Mapping[str, StageTime]
    host_calls_per_token: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """A program in figures.

    Attributes:
        name: of the model. kv_tokens: entries in the KV cache that the figures are for.
        machine: its figures are those measured in the same run, where something was.
    """

    name: str
    kv_tokens: int
    program: ProgramReport
    rows: tuple[StageRow, ...]
    manifest: Manifest
    machine: Machine
    measured: Measured | None

    @property
    def bytes_per_token(self) -> int:
        """Bytes that a step reads from memory: weights, keys and values."""
        return sum(row.bytes for row in self.rows)

    @property
    def cost(self) -> CostModel:
        return CostModel(self.machine, self.program.workers)

    @property
    def predicted_seconds(self) -> float:
        """Of one token's step, by the cost model."""
        return sum(self.predicted(row).seconds for row in self.rows)

    @property
    def roofline_seconds(self) -> float:
        """The time to only read what a step must read."""
        if self.measured is not None:
            return self.measured.read_seconds
        return self.bytes_per_token / self.machine.read_bandwidth

    def predicted(self, row: StageRow) -> StageCost:
        """A stage's time in a step, by the cost model."""
        return self.cost.stage(row)

    def measured_seconds(self, row: StageRow) -> float | None:
        """A stage's time in a step, waits included, as it was measured."""
        time = self.measured_time(row)
        if self.measured is None or time is None:
            return None
        return time.share * self.measured.step_seconds

    def measured_time(self, row: StageRow) -> StageTime | None:
        return None if self.measured is None else self.measured.stages.get(row.name)
