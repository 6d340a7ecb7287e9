"""The cost model: what a step should take on a described machine."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.machine import Machine
from headrace.report.stages import StageRow

#: A float32 multiply-add takes the vector lanes of four 8-bit ones.
FLOAT_LANES = 4


@dataclass(frozen=True, slots=True)
class StageCost:
    """Seconds of all trips of a stage for one token, by cause.

    Attributes:
        read: until memory has given what the slowest worker reads. arithmetic: multiplying, where
            memory does not hide it. rows: what every worker does to whole rows. exchange: tokens.
    """

    read: float
    arithmetic: float
    rows: float
    exchange: float

    @property
    def seconds(self) -> float:
        return self.read + self.arithmetic + self.rows + self.exchange


@dataclass(frozen=True, slots=True)
class CostModel:
    """Time from a machine's figures, none of which is a step's.

    The bandwidth belongs to all workers together, so a stage is as slow as its largest share.
    Products are one long stream, asked for far ahead: they take the longer of reading and
    multiplying. Attention reads a short run of entries for each head, and its arithmetic begins
    when a run is there: it takes the sum. Rows are in the caches. Each wait of a stage is one
    exchange.
    """

    machine: Machine
    workers: int

    def stage(self, row: StageRow) -> StageCost:
        """The cost of a stage."""
        read, arithmetic = self._read(row), self._arithmetic(row)
        hidden = min(read, arithmetic) if row.kind == "product" else 0.0
        exchanges = row.exchanges if self.workers > 1 else 0
        return StageCost(
            read=read,
            arithmetic=arithmetic - hidden,
            rows=row.row_values / self.machine.rates.rows,
            exchange=exchanges * self.machine.token_exchange_s,
        )

    def _read(self, row: StageRow) -> float:
        if row.kind == "sample":
            return row.value_bytes / self.machine.core_read_bandwidth
        if row.kind == "embedding":
            return row.bytes / self.machine.core_read_bandwidth
        share = max(row.worker_bytes, default=0) * self.workers
        return (share + row.kv_bytes) / self.machine.read_bandwidth

    def _arithmetic(self, row: StageRow) -> float:
        """Seconds of the core with the largest share."""
        if row.kind == "attention":
            return row.float_macs / self.workers / self.machine.rates.attention
        if row.kind != "product":
            return 0.0
        share = max(row.worker_bytes) / sum(row.worker_bytes)
        return share * (row.quantised_macs + row.float_macs) / self._product_rate(row)

    def _product_rate(self, row: StageRow) -> float:
        """Of the slowest of the stage's formats."""
        lanes = FLOAT_LANES if row.float_macs else 1
        peak = self.machine.core_int8_macs_per_s / lanes
        return min(self.machine.rates.products.get(name, peak) for name in row.weights)
