from __future__ import annotations

import re
from dataclasses import replace
from typing import get_args

import pytest

from headrace.build import Isa, Options
from headrace.build.key import program_key, toolchain
from headrace.cli import choices
from headrace.codegen.isa import ISAS
from headrace.codegen.target import AARCH64, Target
from headrace.errors import RequestError

OPTIONS = Options(workers=2)
X86_64 = Target("x86_64-unknown-linux-gnu", "x86-64-v4", "+avx512vnni")
KEY = program_key("content", OPTIONS, X86_64)


def test_a_key_is_a_digest_and_the_same_each_time() -> None:
    assert re.fullmatch("[0-9a-f]{64}", KEY)
    assert program_key("content", Options(workers=2), X86_64) == KEY
    assert re.fullmatch("[0-9a-f]{64}", toolchain())


def test_the_target_alone_says_the_instruction_set() -> None:
    assert program_key("content", replace(OPTIONS, isa="avx2"), X86_64) == KEY


@pytest.mark.parametrize(
    "other",
    [
        program_key("other content", OPTIONS, X86_64),
        program_key("content", replace(OPTIONS, workers=3), X86_64),
        program_key("content", replace(OPTIONS, weights="f32"), X86_64),
        program_key("content", replace(OPTIONS, trace=True), X86_64),
        program_key("content", replace(OPTIONS, mapping="rows"), X86_64),
        program_key("content", OPTIONS, AARCH64),
        program_key("content", OPTIONS, replace(X86_64, features="+avx2")),
    ],
)
def test_whatever_matters_changes_it(other: str) -> None:
    assert other != KEY


@pytest.mark.parametrize("workers", [0, -1, 1025, True, 2.0, "2", None])
def test_threads_have_a_range(workers: object) -> None:
    with pytest.raises(RequestError, match="from 1 to 1024") as caught:
        Options(workers=workers)  # pyright: ignore[reportArgumentType]
    assert caught.value.where == "threads"


def test_weights_have_names() -> None:
    with pytest.raises(RequestError, match="auto, f32, bf16") as caught:
        Options(workers=1, weights="q4_0")  # pyright: ignore[reportArgumentType]
    assert caught.value.where == "weights"


def test_instruction_sets_have_names() -> None:
    assert get_args(Isa) == tuple(ISAS) == get_args(choices.Isa)
    with pytest.raises(RequestError, match="avx512, avx-vnni, avx2") as caught:
        Options(workers=1, isa="sse")  # pyright: ignore[reportArgumentType]
    assert caught.value.where == "isa"


def test_mappings_have_names() -> None:
    with pytest.raises(RequestError, match="auto, rows, columns") as caught:
        Options(workers=1, mapping="heads")  # pyright: ignore[reportArgumentType]
    assert caught.value.where == "mapping"
