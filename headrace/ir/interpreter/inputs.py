"""What one step of a program takes: checked arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from headrace.errors import ContextLengthError, RequestError
from headrace.ir.interpreter.arrays import Ints


@dataclass(frozen=True, slots=True)
class StepInputs:
    """tokens, positions and sequences have one entry for each of T tokens; outputs has one index
    into them for each wanted row of logits."""

    tokens: Ints
    positions: Ints
    sequences: Ints
    outputs: Ints

    @classmethod
    def of(
        cls,
        tokens: ArrayLike,
        positions: ArrayLike,
        sequences: ArrayLike,
        outputs: ArrayLike,
        context: int,
    ) -> StepInputs:
        """Raises RequestError or ContextLengthError for what the program cannot take."""
        step = cls(*(np.asarray(v, np.int32) for v in (tokens, positions, sequences, outputs)))
        step.check(context)
        return step

    def check(self, context: int) -> None:
        count = len(self.tokens)
        for name in ("tokens", "positions", "sequences"):
            _check_shape(name, getattr(self, name), count)
        _check_shape("outputs", self.outputs, len(self.outputs))
        if count == 0:
            raise RequestError("a step needs at least one token", where="tokens")
        if np.any((self.outputs < 0) | (self.outputs >= count)):
            raise RequestError(f"outputs must be indices of the {count} tokens", where="outputs")
        if np.any(self.positions < 0):
            raise RequestError("a position is negative", where="positions")
        if np.any(self.positions >= context):
            raise ContextLengthError(
                f"position {int(self.positions.max())} is outside of the context",
                where="positions",
                hint=f"the program is loaded for {context} positions",
            )
        places = set(zip(self.sequences.tolist(), self.positions.tolist(), strict=True))
        if len(places) != count:
            raise RequestError("two tokens have one sequence and position", where="positions")

    def arrays(self) -> Sequence[Ints]:
        """In the order of the program's arguments."""
        return (self.tokens, self.positions, self.sequences, self.outputs)


def _check_shape(name: str, array: Ints, count: int) -> None:
    if array.shape != (count,):
        raise RequestError(f"expected {count} integers, got shape {array.shape}", where=name)
