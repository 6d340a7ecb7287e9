"""A text's embedding: its hidden states behind the last norm, pooled to one vector of length 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from headrace.engine.blocks import blocks_for
from headrace.engine.prompt import check_tokens
from headrace.runtime.program import Program
from headrace.runtime.schedule import Schedule, Segment

Pooling = Literal["mean", "last"]
"""`mean`: of all tokens; `last`: the last token's, which has seen all others."""


class Embedding:
    """An embedding under way: run `next`, `take` the program's hidden rows, until it is done.

    Between two of its schedules others may run, as long as its slot keeps its blocks.

    tokens: int32 `[T]`. slot: its place in the native program, with blocks for T positions.
    """

    def __init__(
        self, tokens: NDArray[np.int32], slot: int, program: Program, pooling: Pooling = "mean"
    ) -> None:
        manifest = program.manifest
        self._tokens, self._slot, self._pooling = tokens, slot, pooling
        self._most = manifest.max_outputs if pooling == "mean" else manifest.max_tokens
        self._fed = 0
        self._sum = np.zeros(manifest.hidden, np.float64)

    @property
    def done(self) -> bool:
        return self._fed == len(self._tokens)

    def next(self) -> Schedule:
        """The schedule of the next chunk."""
        chunk = self._chunk()
        outputs = np.arange(len(chunk)) if self._pooling == "mean" else self._last(chunk)
        segment = Segment(self._slot, chunk, self._fed, outputs.astype(np.int32))
        return Schedule((segment,))

    def take(self, hidden: NDArray[np.float32]) -> None:
        """Note the hidden rows f32 `[outputs, features]` of a schedule that has ended."""
        self._fed += len(self._chunk())
        self._sum += hidden.sum(axis=0, dtype=np.float64)

    def vector(self) -> NDArray[np.float32]:
        """f32 `[features]` of length 1, once it is done; all 0 if the hidden states are."""
        length = float(np.linalg.norm(self._sum))
        return (self._sum / (length or 1.0)).astype(np.float32)

    def _chunk(self) -> NDArray[np.int32]:
        return self._tokens[self._fed : self._fed + self._most]

    def _last(self, chunk: NDArray[np.int32]) -> NDArray[np.int64]:
        """The last token's number, in the last chunk."""
        ends = self._fed + len(chunk) == len(self._tokens)
        return np.array([len(chunk) - 1] if ends else [], np.int64)


def embed(
    program: Program, tokens: Sequence[int], pooling: Pooling = "mean"
) -> NDArray[np.float32]:
    """The embedding f32 `[features]` of a text's tokens, of length 1, by a program that rests.

    It takes slot 0 and the first blocks of the KV cache.

    Raises:
        RequestError: there are no tokens, or one is not in the vocabulary.
        ContextLengthError: there are more than the context holds.
    """
    checked = check_tokens(tokens, program.manifest.vocabulary, program.context, "input")
    program.set_blocks(0, range(blocks_for(len(checked))))
    embedding = Embedding(checked, 0, program, pooling)
    while not embedding.done:
        program.submit(embedding.next())
        program.wait()
        embedding.take(program.hidden())
    return embedding.vector()
