"""explain, bench and doctor as a user calls them, on a tiny model compiled once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from headrace.cli import main
from headrace.codegen.isa import ISAS
from headrace.codegen.target import Target
from headrace.ir.dialect import parse_program

MODEL = "random:tiny-llama@q4_0"
SMALL = ["--prompt", "32", "--decode", "16", "--repetitions", "2", "--threads", "2"]

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        directory = tmp_path_factory.mktemp("cache")
        patch.setenv("HEADRACE_CACHE", str(directory))
        patch.setenv("COLUMNS", "200")
        yield directory


def test_bench_prints_one_object(capsys: Captured) -> None:
    assert main(["bench", MODEL, *SMALL, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == MODEL
    assert found["threads"] == 2
    assert found["decode"]["tokens_per_second"] > 0
    assert found["decode"]["roofline_fraction"] > 0
    assert found["decode"]["host_calls_per_token"] <= 0.1
    assert found["decode"]["token_edges_per_step"] > 0
    assert found["prefill"] == {"tokens": 32, "tokens_per_second": pytest.approx(1e6, rel=1e3)}
    assert 0 < found["startup"]["warm_s"] < 60
    assert "peers" not in found


def test_an_instruction_set_that_is_not_there(capsys: Captured) -> None:
    enabled = Target.host().enabled
    missing = next(name for name, isa in ISAS.items() if isa.needs not in enabled)
    assert main(["bench", MODEL, *SMALL, "--isa", missing]) == 1
    assert f"has no {missing}" in capsys.readouterr().err


def test_bench_spreads_every_figure(capsys: Captured) -> None:
    main(["bench", MODEL, *SMALL, "--json"])
    found = json.loads(capsys.readouterr().out)
    for name, spread in found["spread"].items():
        assert spread["min"] <= spread["median"] <= spread["max"]
        group, figure = name.split(".")
        assert found[group][figure] == spread["median"]
    assert {name.split(".")[0] for name in found["spread"]} == {"decode", "prefill", "startup"}


def test_bench_counts_bytes(capsys: Captured) -> None:
    main(["bench", MODEL, *SMALL, "--json"])
    found = json.loads(capsys.readouterr().out)
    rows = 2 * (64 + 2 * 32 + 64 + 2 * 192) * 64 + 2 * 64 * 192 + 384 * 64
    keys_and_values = 2 * (32 + 8) * 2 * 32 * 2
    assert found["decode"]["bytes_per_token"] == rows // 32 * 18 + keys_and_values


def test_bench_as_a_table(capsys: Captured) -> None:
    assert main(["bench", MODEL, *SMALL]) == 0
    shown = capsys.readouterr().out
    assert "decode.roofline_fraction" in shown
    assert "2 threads, 2 repetitions" in shown


def test_bench_of_more_than_the_context(capsys: Captured) -> None:
    assert main(["bench", MODEL, "--threads", "2"]) == 1
    assert "640 tokens do not fit a context of 512" in capsys.readouterr().err


def test_bench_writes_a_trace(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "run.pftrace"
    assert main(["bench", MODEL, *SMALL, "--trace", str(path)]) == 0
    printed = capsys.readouterr()
    assert "decode: 16 steps" in printed.out
    assert "longest wait" in printed.out
    assert f"trace written to {path}" in printed.err
    assert path.stat().st_size > 1000


def test_explain_shows_a_row_a_stage(capsys: Captured) -> None:
    assert main(["explain", MODEL, "--prompt", "32", "--threads", "2", "--mapping", "rows"]) == 0
    shown = capsys.readouterr().out
    for stage in ("embed", "qkv ×2", "attention ×2", "out ×2", "gate_up ×2", "down ×2", "head"):
        assert re.search(rf"^ *{stage}  ", shown, re.MULTILINE)
    assert "norm · quantise · q_proj" in shown
    assert re.search(r"stages a layer +5\b", shown)
    assert re.search(r"layers +2, in a loop of 2 trips", shown)
    assert re.search(r"measured +.* of the roofline", shown)
    number = r"([\d.]+) (?:ns|µs|ms)"
    rows = re.findall(rf"{number} +{number} +([\d.]+) +[\d.]+ % *$", shown, re.MULTILINE)
    assert len(rows) == 8
    assert re.search(r"predicted / measured +[\d.]+", shown)
    assert re.search(r"of it +reading .*, arithmetic beside it .*, rows .*, exchanges ", shown)


def test_explain_predicts_without_running(capsys: Captured) -> None:
    assert main(["explain", MODEL, "--no-measure", "--threads", "2"]) == 0
    shown = capsys.readouterr().out
    assert "(described)" in shown
    assert not re.search(r"^measured", shown, re.MULTILINE)


@pytest.mark.parametrize("level", ["captured", "looped", "mapped"])
def test_explain_prints_programs(level: str, capsys: Captured) -> None:
    assert main(["explain", MODEL, "--ir", level, "--threads", "2"]) == 0
    text = capsys.readouterr().out
    parse_program(text)
    assert ("step.loop" in text) == (level != "captured")
    assert ("step.stage" in text) == (level == "mapped")


def test_explain_draws(tmp_path: Path) -> None:
    path = tmp_path / "graph.svg"
    assert main(["explain", MODEL, "--graph", str(path), "--threads", "2"]) == 0
    words = [element.text for element in ElementTree.parse(path).iter() if element.text]
    assert MODEL in words
    assert "× 2" in words


def test_explain_says_where_it_cannot_draw(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "missing" / "graph.svg"
    assert main(["explain", MODEL, "--graph", str(path), "--threads", "2"]) == 1
    assert str(path) in capsys.readouterr().err


def test_doctor(capsys: Captured, cache: Path) -> None:
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    for name in ("processor", "cores", "8-bit products", "caches", "memory", "huge pages"):
        assert name in shown
    assert re.search(r"read, 1 worker +[\d.]+ GB/s", shown)
    assert "what would make it faster" in shown
    assert (cache / "memo" / "figures.json").exists()


def test_explain_fits_a_narrow_terminal(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["explain", MODEL, "--no-measure", "--threads", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("q_proj · k_proj · v_proj · rope · append" in line for line in lines)
