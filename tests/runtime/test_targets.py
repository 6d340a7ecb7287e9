"""A whole program gives the same bits on every instruction set, also on emulated processors."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from headrace.runtime.program import Program
from headrace.runtime.schedule import Sampling
from tests.codegen.arm import PROCESSORS
from tests.codegen.native import TARGETS, marks
from tests.ir.decoders import Decoder, program_of
from tests.runtime.arm import ArmProgram
from tests.runtime.driving import generate, ids, logits, poison
from tests.runtime.native import Native

DECODER = Decoder(head_norm=True, bias=True, post_norm=True, windows=(0, 8))
WORKERS = 2
SAMPLINGS = (Sampling(), Sampling(0.8, top_k=20, top_p=0.9, min_p=0.01, seed=3))


@cache
def native(target: str) -> Native:
    return Native(program_of(DECODER), WORKERS, target=TARGETS[target])


def opened(target: str) -> Program:
    if target in PROCESSORS:
        return ArmProgram(native("special"), native(target), target, DECODER.context)
    return native(target).open(DECODER.context)


@pytest.mark.parametrize(
    "target",
    [
        "avx2",
        pytest.param("ssse3", marks=pytest.mark.slow),
        *(pytest.param(name, marks=marks(name, slow=True)) for name in PROCESSORS),
    ],
)
def test_logits_and_tokens(target: str) -> None:
    prompt = ids(20, DECODER.vocabulary)
    with opened("special") as best, opened(target) as other:
        for program in (best, other):
            poison(program)
        for chunks in ((20,), (13, 1, 6)):
            assert np.array_equal(logits(other, prompt, chunks), logits(best, prompt, chunks))
        for sampling in SAMPLINGS:
            assert generate(other, prompt, 30, sampling) == generate(best, prompt, 30, sampling)
