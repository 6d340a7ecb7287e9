"""Requests become schedules: one answer, or many at once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from headrace.engine.batch import BatchGeneration
from headrace.engine.blocks import BlockPool, blocks_for
from headrace.engine.driver import Driver
from headrace.engine.generation import Generation, Record
from headrace.engine.prompt import check_tokens
from headrace.engine.request import Request
from headrace.engine.scheduler import Scheduler
from headrace.engine.sequence import SequenceState
from headrace.errors import RequestError
from headrace.runtime.program import Program
from headrace.runtime.schedule import Schedule


class Engine:
    """Runs requests on a loaded program; see `Generation` and `BatchGeneration`."""

    def __init__(self, program: Program, stops: Sequence[int] = ()) -> None:
        self.program = program
        self._stops = tuple(stops)
        self._driver = Driver(program)
        self._busy = threading.Lock()

    @property
    def vocabulary(self) -> int:
        return self.program.manifest.vocabulary

    def generate(self, prompt: Sequence[int], request: Request) -> Generation[int]:
        """The tokens that follow `prompt`, without the stop token.

        It ends at a stop token, after `max_tokens`, or where the context ends ("length").

        Raises:
            RequestError: a token is not in the vocabulary.
            ContextLengthError: the prompt is longer than the context.
        """
        sequence, record = self._sequence(prompt, request)
        pieces = self._tokens([sequence], [record])
        return Generation((token for _, token in pieces), record)

    def generate_batch(
        self, prompts: Sequence[Sequence[int]], requests: Request | Sequence[Request]
    ) -> BatchGeneration[int]:
        """The tokens that follow each of the prompts, made together.

        As many sequences as the KV cache and a step hold are decoded at a time; where one ends, the
        next prompt takes its place. An answer does not depend on its company.

        Args:
            requests: one for all, or one a prompt.

        Raises: as `generate`; `where` names the prompt.
            RequestError: there are not as many requests as prompts.
        """
        each = [requests] * len(prompts) if isinstance(requests, Request) else list(requests)
        if len(each) != len(prompts):
            raise RequestError(
                f"{len(prompts)} prompts have {len(each)} requests", where="requests"
            )
        made = [
            self._sequence(prompt, request, f"prompts[{index}]")
            for index, (prompt, request) in enumerate(zip(prompts, each, strict=True))
        ]
        records = [record for _, record in made]
        return BatchGeneration(self._tokens([own for own, _ in made], records), records)

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Logits after each token, `[T, vocabulary]`.

        Raises: as `generate`.
        """
        tokens = check_tokens(ids, self.vocabulary, self.program.context)
        result = np.empty((len(tokens), self.vocabulary), np.float32)
        with self._alone():
            self._driver.rest()
            self.program.set_blocks(0, range(blocks_for(len(tokens))))
            rows = self.program.manifest.max_outputs
            for start in range(0, len(tokens), rows):
                chunk = tokens[start : start + rows]
                outputs = np.arange(len(chunk), dtype=np.int32)
                self._driver.run(Schedule.of(chunk, start, outputs))
                result[start : start + rows] = self.program.logits()
        return result

    def _sequence(
        self, prompt: Sequence[int], request: Request, where: str = "prompt"
    ) -> tuple[SequenceState, Record]:
        tokens = check_tokens(prompt, self.vocabulary, self.program.context, where)
        limit = min(request.max_tokens, self.program.context - len(tokens) + 1)
        sampling = request.sampling(self.vocabulary)
        return SequenceState(tokens, limit, sampling, self._stops), Record(len(tokens))

    def _tokens(
        self, sequences: Sequence[SequenceState], records: Sequence[Record]
    ) -> Generator[tuple[int, int], None, None]:
        """Pairs of a sequence's number and its next token, stop tokens left out."""
        numbers = {sequence: index for index, sequence in enumerate(sequences)}
        with self._alone():
            pool = BlockPool(self.program.storage.blocks)
            scheduler = Scheduler(pool, self.program.manifest.max_tokens, "prompts")
            for sequence, record in zip(sequences, records, strict=True):
                record.start()
                scheduler.add(sequence)
            try:
                for fresh in self._generated(scheduler, numbers, records):
                    for sequence, token in fresh:
                        if token not in sequence.stops:
                            records[numbers[sequence]].generated += 1
                            yield numbers[sequence], token
            finally:
                for record in records:
                    record.finish_reason = record.finish_reason or "cancelled"

    def _generated(
        self,
        scheduler: Scheduler,
        numbers: Mapping[SequenceState, int],
        records: Sequence[Record],
    ) -> Generator[list[tuple[SequenceState, int]], None, None]:
        """Run all schedules; tokens with their sequences, as they come."""
        self._driver.rest()
        while (schedule := scheduler.next()) is not None:
            for sequence in scheduler.places.settle():
                self.program.set_blocks(sequence.slot, sequence.blocks)
            for sequence in scheduler.scheduled:
                records[numbers[sequence]].host_calls += 1
            for fresh in self._driver.follow(schedule):
                taken = [(scheduler.take(each), each.token) for each in fresh]
                for sequence, count in Counter(sequence for sequence, _ in taken).items():
                    record = records[numbers[sequence]]
                    record.saw(count)
                    record.finish_reason = sequence.finish_reason
                yield taken
            scheduler.finish()

    @contextmanager
    def _alone(self) -> Generator[None]:
        if not self._busy.acquire(blocking=False):
            raise RequestError(
                "this model is still busy with another request",
                hint="read that one to its end or close it; or load the model a second time",
            )
        try:
            yield
        finally:
            self._busy.release()
