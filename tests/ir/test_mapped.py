"""Mapped programs on simulated workers: the same numbers, and every race found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from xdsl.dialects.builtin import ArrayAttr, ModuleOp

from headrace.errors import ProgramError
from headrace.ir.dialect import parse_program
from headrace.ir.interpreter import Interpreter
from headrace.ir.mapping_ops import StageOp
from headrace.ir.stages import stage_name
from headrace.ir.types import BufferAttr, Shard, ShardAttr, TokenAttr

TEXT = (Path(__file__).parent / "mapped.mlir").read_text()


def program() -> ModuleOp:
    return parse_program(TEXT)


def unmapped() -> ModuleOp:
    """The same stages without their mapping: run as they are written."""
    module = program()
    for stage in stages(module).values():
        for name in ("shard", "after", "buffers"):
            stage.properties.pop(name, None)
    return module


def stages(module: ModuleOp) -> dict[str, StageOp]:
    return {stage_name(op): op for op in module.walk() if isinstance(op, StageOp)}


def weights() -> Callable[[str], np.ndarray]:
    rng = np.random.default_rng(0)
    table = {name: rng.standard_normal((96, 64)) for name in ("embed", "head")}
    for layer in range(3):
        table |= {f"{layer}.{name}": rng.standard_normal((64, 64)) / 8 for name in "qkvo"}
        table[f"{layer}.norm"] = rng.standard_normal(64)
    return {name: array.astype(np.float32) for name, array in table.items()}.__getitem__


def run(module: ModuleOp, seed: int = 0) -> np.ndarray:
    """Logits of a prefill in two sequences, then a decode step of one and of both."""
    machine = Interpreter(module, weights(), seed=seed)
    rows = [
        machine.step([*range(20), 7, 8], [*range(20), 0, 1], [0] * 20 + [1] * 2, [19, 21])[0],
        machine.step([5], [20], [0], [0])[0],
        machine.step([6, 9], [21, 2], [0, 1], [1, 0])[0],
    ]
    return np.concatenate(rows)


@pytest.mark.parametrize("seed", range(5))
def test_any_legal_order_gives_the_numbers_of_the_plain_program(seed: int) -> None:
    np.testing.assert_allclose(run(program(), seed), run(unmapped()), rtol=1e-4, atol=1e-4)


EDGES = [
    (name, number)
    for name, stage in stages(program()).items()
    for number in range(len(stage.after or ()))
]


@pytest.mark.parametrize(("name", "number"), EDGES)
@pytest.mark.parametrize("seed", range(4))
def test_every_edge_is_needed(name: str, number: int, seed: int) -> None:
    module = program()
    stage = stages(module)[name]
    assert stage.after is not None
    stage.after = ArrayAttr(e for i, e in enumerate(stage.after.data) if i != number)
    with pytest.raises(ProgramError) as caught:
        run(module, seed)
    assert "worker" in str(caught.value.where)


def test_an_overwrite_of_what_another_still_reads() -> None:
    """The query in the residual's place: another worker may not have read the residual."""
    module = program()
    stages(module)["qkv"].buffers = ArrayAttr(
        [BufferAttr.of("shared", 0), BufferAttr.of("cache", 0)]
    )
    with pytest.raises(ProgramError, match=r"still reads|is read where"):
        run(module)


def test_reuse_of_a_slot_that_edges_cover() -> None:
    """The logits over the query of the last layer: everyone has passed @attention."""
    module = program()
    stages(module)["head"].buffers = ArrayAttr([BufferAttr.of("shared", 1)])
    np.testing.assert_allclose(run(module), run(unmapped()), rtol=1e-4, atol=1e-4)


def test_a_shard_without_some_rows() -> None:
    module = program()
    stages(module)["out"].shard = ShardAttr.of(Shard("rows", (0, 1, 1)))
    with pytest.raises(
        ProgramError, match=r"result 0 of @out \(trip 0\) is read where result 0 of @embed"
    ):
        run(module)


def test_workers_that_wait_for_each_other() -> None:
    module = program()
    stages(module)["attention"].after = ArrayAttr([TokenAttr.of("out", 0)])
    with pytest.raises(ProgramError, match="wait for each other for ever"):
        run(module)


def test_an_edge_to_no_stage() -> None:
    module = program()
    stages(module)["attention"].after = ArrayAttr([TokenAttr.of("gone", 0)])
    with pytest.raises(ProgramError, match="@gone, which is no stage"):
        run(module)


def test_results_of_context_shards_are_partial() -> None:
    module = program()
    stages(module)["attention"].buffers = ArrayAttr([BufferAttr.of("shared", 5)])
    with pytest.raises(ProgramError, match="belong together"):
        run(module)
