from __future__ import annotations

from headrace.passes.pipeline import map_program
from headrace.report.stages import StageRow, stage_rows
from headrace.report.text import edge_text, sharding_text, tile_text
from tests.passes.decoder import SMOLLM2, Decoder, captured
from tests.passes.structures import Learned, Sloped, Structured, Sunk, Whole


def rows_of(
    shape: Decoder, workers: int = 2, kv_tokens: int = 100, mapping: str = "auto"
) -> dict[str, StageRow]:
    module = captured(shape)
    map_program(module, workers, mapping=mapping)
    return {row.name: row for row in stage_rows(module, kv_tokens)}


def texts(row: StageRow, role: str) -> list[str]:
    return [operator.text for operator in row.operators if operator.role == role]


def test_smollm2_has_five_stages_in_its_loop() -> None:
    rows = rows_of(SMOLLM2)
    looped = [row.name for row in rows.values() if row.trips == 30]
    assert looped == ["qkv", "attention", "out", "gate_up", "down"]
    assert [row.name for row in rows.values() if row.trips == 1] == ["embed", "head", "sample"]


def test_what_is_fused() -> None:
    rows = rows_of(SMOLLM2)
    assert texts(rows["qkv"], "prologue") == ["norm", "quantise"]
    assert texts(rows["qkv"], "product") == ["q_proj", "k_proj", "v_proj"]
    assert texts(rows["qkv"], "epilogue") == ["rope", "append"]
    assert texts(rows["out"], "prologue") == ["merge partials", "quantise"]
    assert texts(rows["out"], "epilogue") == ["residual"]
    assert texts(rows["gate_up"], "epilogue") == ["silu × up"]
    assert texts(rows["sample"], "body") == ["sample"]


def test_chains_show_what_they_share() -> None:
    rows = rows_of(SMOLLM2, mapping="columns")
    shards = {name: sharding_text(row.shard, row.unit_rows) for name, row in rows.items()}
    assert shards["qkv"] == shards["attention"] == "heads: 1+2"
    assert shards["out"] == "columns: 192+384"
    assert texts(rows["out"], "prologue") == ["quantise"]
    assert texts(rows["gate_up"], "prologue") == ["add partials", "residual", "norm", "quantise"]
    assert texts(rows["merge"], "body") == ["add partials", "residual"]


def test_families_show_what_they_add() -> None:
    assert "head norm" in texts(rows_of(Decoder(family="qwen3"))["qkv"], "epilogue")
    assert "bias" in texts(rows_of(Decoder(family="qwen2"))["qkv"], "epilogue")
    gemma = rows_of(Decoder(family="gemma3", layers=4))
    assert texts(gemma["embed"], "body") == ["row of the table", "scale"]
    assert texts(gemma["gate_up"], "prologue") == ["norm", "residual", "quantise"]
    assert texts(gemma["merge"], "body") == ["norm", "residual"]
    unquantised = rows_of(Decoder(format="f32"))
    assert texts(unquantised["qkv"], "prologue") == ["norm"]


def structure(builder: type[Structured]) -> dict[str, StageRow]:
    module = builder(Decoder(format="f32")).module()
    map_program(module, 2)
    return {row.name: row for row in stage_rows(module, 100)}


def test_structures_show_what_they_add() -> None:
    learned = structure(Learned)
    assert texts(learned["embed"], "body") == ["row of the table", "row of the positions", "add"]
    assert learned["embed"].worker_bytes == (2 * 64 * 4,)
    assert texts(learned["qkv"], "prologue") == ["layer norm"]
    assert texts(learned["up"], "epilogue") == ["bias", "tanh"]
    names = ["qkv[0:64]", "qkv[64:96]", "qkv[96:128]"]
    assert texts(learned["qkv"], "product") == names
    whole = structure(Whole)
    assert list(whole)[1:4] == ["qkv", "append", "attention"]
    assert texts(whole["append"], "body") == ["norm", "rope", "append"]
    assert sharding_text(whole["append"].shard, ()) == "by token"
    assert texts(structure(Sunk)["attention"], "body") == ["attention + softcap + sinks"]
    assert texts(structure(Sloped)["attention"], "body") == ["attention + slopes"]


def test_bytes_are_those_of_the_matrices() -> None:
    rows = rows_of(SMOLLM2)
    values = {
        "qkv": 30 * 960 * 576,
        "out": 30 * 576 * 576,
        "gate_up": 30 * 3072 * 576,
        "down": 30 * 576 * 1536,
        "head": 49152 * 576,
    }
    for name, count in values.items():
        assert sum(rows[name].worker_bytes) == count // 32 * 20
        assert rows[name].quantised_macs == count
        assert rows[name].weights == ("q4_1",)
    assert rows["qkv"].worker_bytes == (30 * 7 * 64 * 360, 30 * 8 * 64 * 360)
    assert rows["embed"].bytes == 360
    assert rows["attention"].kv_bytes == 30 * 100 * 3 * 128 * 2
    assert rows["attention"].float_macs == 30 * 100 * 9 * 128


def test_windows_limit_what_attention_reads() -> None:
    shape = Decoder(family="gemma3", layers=6, windows=(16, 16, 0))
    token = 2 * 32 * 2
    assert rows_of(shape, kv_tokens=100)["attention"].kv_bytes == token * (4 * 16 + 2 * 100)
    assert rows_of(shape, kv_tokens=10)["attention"].kv_bytes == token * 6 * 10


def test_edges_and_sharding_in_words() -> None:
    rows = rows_of(SMOLLM2)
    assert [edge_text(edge) for edge in rows["qkv"].edges] == ["embed", "down (last trip)"]
    assert sharding_text(rows["qkv"].shard, rows["qkv"].unit_rows) == "rows: 7+8 units of 64"
    assert sharding_text(rows["attention"].shard, ()) == "by KV entry"
    assert tile_text(rows["out"].weights) == "32×32 q4_1"
    wide = rows_of(SMOLLM2, workers=5)["down"]
    assert sharding_text(wide.shard, wide.unit_rows) == "rows: 5 × 3 to 4 units of 32"
