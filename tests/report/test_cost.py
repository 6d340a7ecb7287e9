"""The cost model's arithmetic, and the figures of stages that it starts from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headrace.machine import Machine, Rates, load_machine
from headrace.report.cost import CostModel
from tests.passes.decoder import SMOLLM2, Decoder
from tests.report.test_stages import rows_of

RATES = Rates({"q4_0": 50e9, "q4_1": 50e9, "q8_0": 80e9}, attention=10e9, rows=1e9)
MACHINE = replace(
    load_machine("generic-x86_64").with_measured(
        read_bandwidth=20e9, token_exchange_s=2e-6, rates=RATES
    ),
    cores=2,
)
ROWS = rows_of(SMOLLM2)


def model(machine: Machine = MACHINE) -> CostModel:
    return CostModel(machine, 2)


def test_a_product_takes_what_its_largest_share_takes_to_read() -> None:
    qkv = ROWS["qkv"]
    cost = model().stage(qkv)
    assert cost.read == pytest.approx(2 * max(qkv.worker_bytes) / 20e9)
    assert cost.arithmetic == 0
    assert cost.exchange == pytest.approx(30 * 2e-6)
    assert cost.seconds == pytest.approx(cost.read + cost.rows + cost.exchange)


def test_multiplying_counts_where_it_takes_longer_than_reading() -> None:
    fast = MACHINE.with_measured(read_bandwidth=1e15)
    head = ROWS["head"]
    (format,) = head.weights
    cost = model(fast).stage(head)
    expected = 49152 * 576 / 2 / RATES.products[format]
    assert cost.read + cost.arithmetic == pytest.approx(expected)


def test_a_format_without_a_rate_is_at_the_peak() -> None:
    fast = replace(MACHINE, rates=replace(RATES, products={})).with_measured(read_bandwidth=1e15)
    cost = model(fast).stage(ROWS["head"])
    expected = 49152 * 576 / fast.int8_macs_per_s
    assert cost.read + cost.arithmetic == pytest.approx(expected)


def test_attention_adds_its_arithmetic_to_its_reading() -> None:
    row = ROWS["attention"]
    cost = model().stage(row)
    assert cost.read == pytest.approx(row.kv_bytes / 20e9)
    assert row.float_macs == 30 * 100 * 9 * 128
    assert cost.arithmetic == pytest.approx(row.float_macs / 2 / 10e9)


def test_rows_are_counted_for_each_operator() -> None:
    values = {"qkv": 2 * 576, "out": 2 * 576, "gate_up": 2 * 576, "down": 1536}
    assert {name: ROWS[name].row_values // 30 for name in values} == values
    assert ROWS["head"].row_values == 2 * 576
    assert model().stage(ROWS["down"]).rows == pytest.approx(30 * 1536 / 1e9)
    unquantised = rows_of(Decoder(format="f32"))
    assert unquantised["down"].row_values == 0


def test_one_worker_exchanges_nothing() -> None:
    rows = rows_of(SMOLLM2, workers=1)
    assert all(CostModel(MACHINE, 1).stage(row).exchange == 0 for row in rows.values())


def test_sampling_reads_the_logits() -> None:
    expected = 4 * 49152 / MACHINE.core_read_bandwidth
    assert model().stage(ROWS["sample"]).read == pytest.approx(expected)
