"""Step by step through a program, with the KV caches kept between steps."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from numpy.typing import ArrayLike
from xdsl.dialects.builtin import ModuleOp

from headrace.errors import ProgramError
from headrace.ir.interpreter.arrays import Floats, Ints
from headrace.ir.interpreter.evaluator import Evaluator, Value, bind_inputs
from headrace.ir.interpreter.inputs import StepInputs
from headrace.ir.interpreter.kv import KVCache
from headrace.ir.interpreter.mapped import Team
from headrace.ir.interpreter.model import Model
from headrace.ir.interpreter.schedule import is_mapped
from headrace.ir.interpreter.sequential import run_block


class Interpreter:
    """Runs the program of a module in float32.

    A mapped program (every stage sharded, every result with its buffer) is run by simulated
    workers in a random order that its token edges allow. They share buffers that start as NaN,
    see and write only what the shards give them, and every access across workers is checked with
    vector clocks. Any other program is run as it is written; stages are then plain regions.

    Args:
        module: a verified module with one `step.program`, at any level.
        weights: the array of a weight by its name, of the declared shape; asked for at each use.
        quantise_activations: also round what the program keeps in fewer bits than float32: the
            inputs of products with `activation "q8"`, and KV entries by their `format`.
        seed: chooses the order of the simulated workers.
        context: the number of positions for which the program is loaded, which chooses between
            a table's frequencies and its long ones; as many as the program was made for, if None.
    """

    def __init__(
        self,
        module: ModuleOp,
        weights: Callable[[str], Floats],
        *,
        quantise_activations: bool = False,
        seed: int = 0,
        context: int | None = None,
    ) -> None:
        self._model = Model.of(module, weights, context)
        self._cache = KVCache()
        self._quantise_activations = quantise_activations
        self._order = random.Random(seed)
        self._is_mapped = is_mapped(self._model.program)

    def step(
        self, tokens: ArrayLike, positions: ArrayLike, sequences: ArrayLike, outputs: ArrayLike
    ) -> tuple[Floats, Ints]:
        """One step of T tokens; their KV entries stay for the next steps.

        Args:
            tokens, positions, sequences: T integers each.
            outputs: the indices, among the T, of the tokens whose logits are wanted.

        Returns:
            Logits [outputs, vocabulary], and the next token of each (the largest logit).

        Raises:
            RequestError, ContextLengthError: the arguments are out of their range.
            ProgramError: the program breaks a rule of the dialect; where it is mapped, also an
                access across workers that no token edge orders.
        """
        inputs = StepInputs.of(tokens, positions, sequences, outputs, self._model.context)
        return _logits_and_next(self._run(inputs))

    def _run(self, inputs: StepInputs) -> Sequence[Value]:
        shared = self._model, self._cache, self._quantise_activations
        if self._is_mapped:
            return Team(*shared, inputs, self._order).run()
        evaluator = Evaluator(*shared)
        bind_inputs(evaluator, inputs)
        return run_block(evaluator, self._model.program.block)


def _logits_and_next(results: Sequence[Value]) -> tuple[Floats, Ints]:
    match results:
        case [logits, following] if not isinstance(logits, int) and not isinstance(following, int):
            return logits, following
        case _:
            raise ProgramError(
                "a program returns its logits and the next tokens", where="step.return"
            )
