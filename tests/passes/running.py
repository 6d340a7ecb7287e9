"""Running programs with weights made up from their names."""

from __future__ import annotations

from collections.abc import Callable
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp

from headrace.ir.interpreter import Interpreter
from headrace.ir.program_ops import WeightOp
from headrace.ir.types import WeightType

Floats = NDArray[np.float32]


def made_up_weights(module: ModuleOp) -> Callable[[str], Floats]:
    """Small random weights: the same name gives the same values in every program."""
    shapes: dict[str, tuple[int, ...]] = {}
    for op in module.walk():
        if isinstance(op, WeightOp):
            assert isinstance(op.result.type, WeightType)
            shapes.update(dict.fromkeys(op.names(), op.result.type.shape))

    def weight(name: str) -> Floats:
        values = np.random.default_rng(crc32(name.encode())).standard_normal(shapes[name])
        return (values / np.sqrt(shapes[name][-1])).astype(np.float32)

    return weight


def outputs_of(module: ModuleOp, seed: int = 0) -> list[Floats]:
    """Logits of a prompt of two sequences, then of two steps of one token each, then of both."""
    run = Interpreter(module, made_up_weights(module), seed=seed)
    steps = [
        ([1, 5, 7, 2, 9], [0, 1, 2, 0, 1], [0, 0, 0, 1, 1], [2, 4]),
        ([11], [3], [0], [0]),
        ([12], [4], [0], [0]),
        ([13, 14], [5, 2], [0, 1], [1, 0]),
    ]
    return [run.step(*step)[0] for step in steps]
