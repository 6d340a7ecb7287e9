"""Machine descriptions: what is shipped, what is refused, what is remembered."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.errors import CacheError, MachineError
from headrace.machine import (
    Rates,
    described_machines,
    load_machine,
    parse_machine,
    probe_host,
    recall,
    recall_workers,
    remember,
)

TEXT = """
name = "two"
isa = "x86_64"
cores = 2
features = ["avx2"]
cache = { l1d_kib = 32, l2_kib = 512, l3_kib = 8192 }
memory = { core_read_gb_s = 10, read_gb_s = 15.5 }

[compute]
core_int8_gmac_s = 100
token_exchange_ns = 250
core_attention_gmac_s = 5
core_row_gvalue_s = 0.5
product_gmac_s = { q4_0 = 50, q8_0 = 60 }
"""


NOTE = '{"two (None), 2 cores": %s}'
WRONG = """{"read_bandwidth": 1e9, "token_exchange_s": 1e-6,
            "rates": {"products": {}, "attention": -1, "rows": 1}}"""


@pytest.mark.parametrize("name", described_machines())
def test_shipped_descriptions_load_under_their_own_name(name: str) -> None:
    machine = load_machine(name)
    assert machine.name == name
    assert machine.core_read_bandwidth <= machine.read_bandwidth


def test_units_become_si() -> None:
    machine = parse_machine(TEXT, where="test")
    assert machine.l2_bytes == 512 * 1024
    assert machine.read_bandwidth == 15.5e9
    assert machine.int8_macs_per_s == 200e9
    assert machine.token_exchange_s == pytest.approx(250e-9)
    assert machine.rates == Rates({"q4_0": 50e9, "q8_0": 60e9}, attention=5e9, rows=0.5e9)


def test_fewer_cores_read_less_and_more_cores_share_the_memory() -> None:
    machine = parse_machine(TEXT, where="test")
    assert machine.with_cores(1).read_bandwidth == 10e9
    assert machine.with_cores(2).read_bandwidth == 15.5e9
    assert machine.with_cores(4).read_bandwidth == 31e9


def test_a_measured_bandwidth_replaces_the_described_one() -> None:
    machine = parse_machine(TEXT, where="test")
    slow = machine.with_measured(read_bandwidth=4e9)
    assert (slow.read_bandwidth, slow.core_read_bandwidth) == (4e9, 4e9)
    assert machine.with_measured(read_bandwidth=60e9).core_read_bandwidth == 30e9


@pytest.mark.parametrize("bandwidth", [0.0, -1.0, float("nan")])
def test_an_impossible_bandwidth_is_refused(bandwidth: float) -> None:
    with pytest.raises(MachineError):
        parse_machine(TEXT, where="test").with_measured(read_bandwidth=bandwidth)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("cores = 2", "cores = 0", "cores"),
        ("cores = 2", "cores = true", "cores"),
        ('isa = "x86_64"', "", "isa"),
        ('["avx2"]', "[1]", "features"),
        ("l2_kib = 512", "l2_kib = 1.5", "l2_kib"),
        ("read_gb_s = 15.5", "read_gb_s = -1", "read_gb_s"),
        ("cache =", "cash =", "cache"),
        ("name =", "name", "TOML"),
    ],
)
def test_a_bad_field_is_named(old: str, new: str, named: str) -> None:
    with pytest.raises(MachineError, match=named):
        parse_machine(TEXT.replace(old, new), where="test")


def test_an_unknown_machine_lists_the_known_ones() -> None:
    with pytest.raises(MachineError) as caught:
        load_machine("no-such-machine")
    assert "epyc-zen5-2core" in str(caught.value)


def test_a_description_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "two.toml"
    path.write_text(TEXT)
    assert load_machine(str(path)).name == "two"


def test_a_measurement_is_remembered_for_its_machine_only(tmp_path: Path) -> None:
    machine = parse_machine(TEXT, where="test")
    measured = machine.with_measured(
        read_bandwidth=12e9, token_exchange_s=3e-6, rates=Rates({"q4_1": 1e9}, 2e9, 3e9)
    )
    assert measured.rates.products == {"q4_0": 50e9, "q8_0": 60e9, "q4_1": 1e9}
    remember(measured, tmp_path)
    assert recall(machine, tmp_path) == measured
    assert recall(machine.with_cores(1), tmp_path) == machine.with_cores(1)
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]


def test_the_best_number_of_workers_is_remembered(tmp_path: Path) -> None:
    host = probe_host(affinity=range(4))
    assert recall_workers(host, tmp_path) == host.cores
    remember(host.machine(), tmp_path, workers=1)
    remember(host.machine().with_measured(read_bandwidth=9e9), tmp_path)  # and is kept
    assert recall_workers(host, tmp_path) == 1
    remember(host.machine(), tmp_path, workers=host.cores + 1)
    with pytest.raises(CacheError, match="workers on"):
        recall_workers(host, tmp_path)


def test_the_cache_remembers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))
    machine = parse_machine(TEXT, where="test").with_measured(read_bandwidth=12e9)
    remember(machine)
    assert recall(parse_machine(TEXT, where="test")).read_bandwidth == 12e9


@pytest.mark.parametrize("text", ["{", "[]", NOTE % '"fast"', NOTE % "{}", NOTE % WRONG, "\xff"])
def test_a_broken_note_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "figures.json").write_text(text, encoding="latin-1")
    with pytest.raises(CacheError, match="cannot be read") as caught:
        recall(parse_machine(TEXT, where="test"), tmp_path)
    assert "delete" in str(caught.value)


def test_a_directory_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CacheError):
        remember(parse_machine(TEXT, where="test"), tmp_path / "missing")
