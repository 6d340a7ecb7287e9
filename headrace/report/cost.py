"""The cost model: what a step should take on a described machine."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.machine import Machine
from headrace.report.stages import StageRow

#: A float32 multiply-add takes the vector lanes of four 8-bit ones.
FLOAT_LANES = 4


@dataclass(frozen=True, slots=True)
class CostModel:
    """Time by the slower of memory and multipliers, plus one exchange for each wait.

    The bandwidth belongs to all workers together, so a stage is as slow as its largest share:
    `max(share * workers / bandwidth, macs / peak) + exchange`.
    """

    machine: Machine
    workers: int

    def step_seconds(self, row: StageRow) -> float:
        """Seconds of all trips of a stage for one token."""
        exchange = row.exchanges * self.machine.token_exchange_s
        return max(self._read(row), self._multiply(row)) + exchange

    def _read(self, row: StageRow) -> float:
        if row.kind == "sample":
            return row.value_bytes / self.machine.core_read_bandwidth
        if row.kind == "embedding":
            return row.bytes / self.machine.core_read_bandwidth
        share = max(row.worker_bytes, default=0) * self.workers
        return (share + row.kv_bytes) / self.machine.read_bandwidth

    def _multiply(self, row: StageRow) -> float:
        macs = row.quantised_macs + FLOAT_LANES * row.float_macs
        return macs / self.machine.int8_macs_per_s
