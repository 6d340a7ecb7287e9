"""A compiled program in memory, with its workers waiting for schedules."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from headrace.codegen import abi
from headrace.codegen.manifest import Manifest
from headrace.codegen.target import NativeLibrary, Target
from headrace.errors import ContextLengthError, MachineError, RequestError
from headrace.runtime.control import Control
from headrace.runtime.mailbox import Mailbox, Sampled
from headrace.runtime.schedule import Schedule, check_schedule
from headrace.runtime.storage import Storage
from headrace.runtime.trace import Recorder, Recording
from headrace.runtime.workers import Workers

#: KV capacity in tokens where nothing else is asked for.
DEFAULT_CONTEXT = 8192

#: Contexts that fit the KV cache together, where nothing else is asked for.
CONTEXTS = 4

#: A pure read takes whole steps of its unrolled loop.
_SWEEP_STEP = 512


class Program:
    """Loads code and packed weights, and starts the workers; `close` ends them.

    context: positions of a sequence; default the model's, at most DEFAULT_CONTEXT.
    kv_tokens: entries of the KV cache, of all sequences together; default those of four contexts.
        The system gives memory for an entry when it is first written.
    cpus: the processors to run on; default those that this process may use. Workers are pinned
        when there is a processor for each.

    One schedule runs at a time. The object is used by one thread.

    Attributes:
        host_calls: schedules submitted so far.

    Raises:
        ContextLengthError: the model does not have so many positions.
        MachineError: not enough memory, or a processor that this process may not use.
        CacheError: the packed weights are damaged.
    """

    def __init__(
        self,
        manifest: Manifest,
        code: bytes,
        packed: Path,
        *,
        context: int | None = None,
        kv_tokens: int | None = None,
        cpus: Sequence[int] | None = None,
    ) -> None:
        self.manifest = manifest
        self.workers = manifest.workers
        self.context = _context(manifest, context)
        self.host_calls = 0
        self.storage = Storage(manifest, packed, self.context, _entries(kv_tokens, self.context))
        self._control = Control(self.workers)
        self._mailbox = Mailbox(manifest, self._control)
        self._recorder = Recorder(self._control, self.workers) if manifest.traced else None
        self._connect()
        exports = ("worker", "post", "clock") if manifest.traced else ("worker", "post")
        library = NativeLibrary(code, exports, Target.host())
        if self._recorder is not None:
            self._recorder.start(library)
        allowed = sorted(os.sched_getaffinity(0) if cpus is None else cpus)
        kept = self.storage, self._mailbox, self._recorder
        self._team = Workers(library, self._control, self.workers, allowed, kept)

    def _connect(self) -> None:
        self.storage.connect(self._control)
        self._control["capacity"] = self.context

    # schedules

    def submit(self, schedule: Schedule) -> None:
        """Start a schedule; returns at once.

        Raises:
            ContextLengthError: the tokens do not fit the KV capacity.
            RequestError: a count or a token is out of range.
            MachineError: a schedule is still running, or the program is closed.
        """
        begin = perf_counter_ns()
        self._team.require_idle()
        check_schedule(schedule, self.manifest, self.context)
        self._mailbox.write(schedule)
        self.host_calls += 1
        self._team.issue(abi.Command.RUN)
        self._note("submit", begin)

    @property
    def finished(self) -> bool:
        """Whether the last schedule has ended."""
        return self._team.finished

    def set_blocks(self, slot: int, blocks: Sequence[int]) -> None:
        """Give the sequence in a slot its KV blocks, for positions from 0 on.

        Raises:
            RequestError: there is no such slot, a block does not exist, or there are too many.
            MachineError: a schedule is running.
        """
        self._team.require_idle()
        table, count = self.storage.block_table, self.storage.blocks
        if not (0 <= slot < len(table) and len(blocks) <= table.shape[1]):
            raise RequestError(
                f"slot {slot} with {len(blocks)} blocks: there are slots 0 to {len(table) - 1} "
                f"with {table.shape[1]} blocks"
            )
        if any(not 0 <= block < count for block in blocks):
            raise RequestError(f"the cache has blocks 0 to {count - 1}, not all of {blocks}")
        table[slot, : len(blocks)] = blocks

    def poll(self) -> list[Sampled]:
        """Tokens generated since the last poll; never blocks."""
        begin = perf_counter_ns()
        tokens = self._mailbox.poll()
        self._note("poll", begin)
        return tokens

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep until the schedule has ended, `timeout` seconds at most; whether it has."""
        begin = perf_counter_ns()
        finished = self._team.wait(timeout)
        self._note("wait", begin)
        return finished

    def _note(self, call: str, begin_ns: int) -> None:
        if self._recorder is not None:
            self._recorder.note(call, begin_ns)

    def cancel(self) -> None:
        """Let the running schedule end after its current step."""
        self._control["cancel"] = 1

    def logits(self) -> NDArray[np.float32]:
        """Logits of the last step, `[outputs, vocabulary]`: a view until the next schedule."""
        manifest = self.manifest
        return self._rows(manifest.logits_at, manifest.logits_stride, manifest.vocabulary)

    def hidden(self) -> NDArray[np.float32]:
        """What the last step's logits are made from, `[outputs, features]`: rows behind the last
        norm. A view until the next schedule.
        """
        manifest = self.manifest
        return self._rows(manifest.hidden_at, manifest.hidden_stride, manifest.hidden)

    def _rows(self, at: int, stride: int, width: int) -> NDArray[np.float32]:
        """The last step's rows of shared memory, `stride` floats apart, from byte `at` on."""
        whole = self.storage.shared.view()[at:].view(np.float32)
        rows = whole[: self.manifest.max_outputs * stride].reshape(-1, stride)
        return rows[: self._mailbox.output_rows, :width]

    # measurement

    def sweep(self, passes: int, kv_tokens: int = 0) -> float:
        """Seconds for reading all packed weights (and KV entries), and nothing else.

        The workers, the bytes and their places are those of a decode step; they are read `passes`
        times.

        Raises:
            MachineError: a schedule is still running, or the program is closed.
        """
        self._team.require_idle()
        share = kv_tokens * self.manifest.cache.token_bytes // self.workers
        most = self.storage.cache.bytes // self.workers
        self._control["cache_sweep"] = min(share, most) // _SWEEP_STEP * _SWEEP_STEP
        self._control["sweep_passes"] = passes
        self._mailbox.reset()
        start = perf_counter()
        self._team.issue(abi.Command.SWEEP)
        self.wait()
        return perf_counter() - start

    def recording(self) -> Recording:
        """What the workers did lately, and the host.

        Raises:
            MachineError: the program was not compiled with a trace, or a schedule is running.
        """
        if self._recorder is None:
            raise MachineError("the program was compiled without a trace")
        self._team.require_idle()
        return self._recorder.read()

    def close(self) -> None:
        """End the workers; a running schedule ends after its step. Nothing can run after."""
        self._team.close()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _entries(asked: int | None, context: int) -> int:
    if asked is None:
        return CONTEXTS * context
    if asked < context:
        raise ContextLengthError(
            f"a KV cache of {asked} tokens does not hold one sequence of {context}",
            hint="load the model with a smaller context, or with more KV tokens",
        )
    return asked


def _context(manifest: Manifest, asked: int | None) -> int:
    if asked is None:
        return min(manifest.context, DEFAULT_CONTEXT)
    if not 1 <= asked <= manifest.context:
        raise ContextLengthError(
            f"a context of {asked} tokens is not within 1 to the model's {manifest.context}"
        )
    return asked
