"""A compiled program in memory, with its workers waiting for schedules."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from headrace.codegen import abi
from headrace.codegen.manifest import Manifest
from headrace.codegen.target import NativeLibrary, Target
from headrace.errors import ContextLengthError, MachineError, RequestError
from headrace.runtime.futex import futex_wait
from headrace.runtime.memory import Memory, map_file, read_file
from headrace.runtime.rotary import rotary_tables
from headrace.runtime.schedule import Sampling, Schedule

#: KV capacity in tokens where nothing else is asked for.
DEFAULT_CONTEXT = 8192

#: Looks at another worker's counter before sleeping: about 20 microseconds, where every worker has
#: a core of its own; where it has not, the core is needed by who is being waited for.
SPINS, SPINS_OVERSUBSCRIBED = 1500, 20

_RING = 4096


class Program:
    """Loads code and packed weights, and starts the workers; `close` ends them.

    context: KV capacity in tokens; default the model's, at most DEFAULT_CONTEXT.
    cpus: the processors to run on; default those that this process may use. Workers are pinned
        when there is a processor for each.

    One schedule runs at a time. The object is used by one thread.

    Raises:
        MachineError: not enough memory.
        CacheError: the packed weights are damaged.
    """

    def __init__(
        self,
        manifest: Manifest,
        code: bytes,
        packed: Path,
        *,
        context: int | None = None,
        cpus: Sequence[int] | None = None,
    ) -> None:
        self.manifest = manifest
        self.workers = manifest.workers
        self.context = context or min(manifest.context, DEFAULT_CONTEXT)
        self.host_calls = 0
        self._library = NativeLibrary(code, ("worker", "post"), Target.host())
        self._load(packed)
        self._make_control()
        self._threads = self._start(sorted(cpus or os.sched_getaffinity(0)))
        post = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._library.address("post"))
        self._post = post
        self._closer = weakref.finalize(self, _close, self._control, post, self._threads)

    # memory

    def _load(self, packed: Path) -> None:
        manifest = self.manifest
        self._streams = [
            read_file(packed, start, max(bytes, 64))
            for start, bytes in zip(manifest.stream_starts, manifest.stream_bytes, strict=True)
        ]
        length = manifest.rows_start - manifest.vectors_start
        self._vectors = read_file(packed, manifest.vectors_start, length)
        rows = manifest.rows
        self._rows = map_file(packed, manifest.rows_start, rows.rows * rows.row_bytes)
        self._shared = Memory(manifest.shared_bytes)
        self._private = [Memory(manifest.private_bytes) for _ in range(self.workers)]
        blocks = -(-self.context // abi.KV_BLOCK)
        self._cache = Memory(blocks * manifest.cache.block_bytes)
        self.block_table = np.arange(blocks, dtype=np.int32)
        self._tables = rotary_tables(manifest.tables, self.context)

    def _make_control(self) -> None:
        manifest = self.manifest
        self._memory = Memory(8 * abi.control_words(self.workers))
        self._control = self._memory.view().view(np.int64)
        self._tokens = np.zeros(manifest.max_tokens, np.int32)
        self._positions = np.zeros(manifest.max_tokens, np.int32)
        self._outputs = np.zeros(manifest.max_outputs, np.int32)
        self._stops = np.zeros(abi.MAX_STOPS, np.int32)
        self._ring = np.zeros(_RING, np.int32)
        self._profiles = np.zeros((self.workers, len(manifest.stages), 2), np.int64)
        self._read = 0
        for name, array in (
            ("tokens", self._tokens),
            ("positions", self._positions),
            ("outputs", self._outputs),
            ("stops", self._stops),
            ("ring", self._ring),
            ("block_table", self.block_table),
            ("rows", self._rows),
            ("tables", self._tables),
        ):
            self._set(name, array.ctypes.data)
        self._set("shared", self._shared.address)
        self._set("cache", self._cache.address)
        self._set("vectors", self._vectors.address)
        self._set("capacity", self.context)
        for worker in range(self.workers):
            words = {
                "stream": self._streams[worker].address,
                "private": self._private[worker].address,
                "profile": self._profiles[worker].ctypes.data,
            }
            for name, value in words.items():
                self._control[abi.worker_word(worker, name)] = value
        # The host may always be asleep on `finished`: workers wake it at the end of a schedule.
        self._control[abi.word("finished") + 4] = 1

    def _set(self, name: str, value: int) -> None:
        self._control[abi.word(name)] = value

    def _get(self, name: str) -> int:
        return int(self._control[abi.word(name)])

    # workers

    def _start(self, cpus: Sequence[int]) -> list[threading.Thread]:
        own = self.workers <= len(cpus)
        self._set("spins", SPINS if own else SPINS_OVERSUBSCRIBED)
        entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(
            self._library.address("worker")
        )
        threads: list[threading.Thread] = []
        for worker in range(self.workers):
            allowed = {cpus[worker]} if own else set(cpus)
            arguments = (entry, self._memory.address, worker, allowed)
            name = f"headrace-{worker}"
            thread = threading.Thread(target=_enter, args=arguments, name=name, daemon=True)
            thread.start()
            threads.append(thread)
        return threads

    def _issue(self, command: abi.Command) -> None:
        self._set("command", int(command))
        self._set("cancel", 0)
        self._set("ring_count", 0)
        self._set("go", 0)
        self._read = 0
        self._target = self._get("finished") + 1
        self._post(self._memory.address)

    # schedules

    def submit(self, schedule: Schedule) -> None:
        """Start a schedule; returns at once.

        Raises:
            ContextLengthError: the tokens do not fit the KV capacity.
            RequestError: a count or a token is out of range.
            MachineError: a schedule is still running.
        """
        if not self.finished:
            raise MachineError("a schedule is still running", hint="wait for it, or cancel it")
        self._check(schedule)
        count, outputs = len(schedule.tokens), len(schedule.outputs)
        self._tokens[:count] = schedule.tokens
        self._positions[:count] = np.arange(schedule.start, schedule.start + count)
        self._outputs[:outputs] = schedule.outputs
        self._stops[: len(schedule.stops)] = schedule.stops
        self._set("token_count", count)
        self._set("output_count", outputs)
        self._set("max_steps", schedule.steps)
        self._set("sampling", int(schedule.steps > 0))
        self._set("stop_count", len(schedule.stops))
        self._set_sampling(schedule.sampling)
        self._output_rows = outputs
        self.host_calls += 1
        self._issue(abi.Command.RUN)

    def _set_sampling(self, sampling: Sampling) -> None:
        reals = self._control.view(np.float64)
        for name in ("temperature", "top_p", "min_p"):
            reals[abi.word(name)] = getattr(sampling, name)
        self._set("top_k", sampling.top_k)
        self._set("seed", sampling.seed)

    def _check(self, schedule: Schedule) -> None:
        manifest, count = self.manifest, len(schedule.tokens)
        end = schedule.start + count
        if schedule.start < 0 or end > self.context:
            raise ContextLengthError(
                f"{end} positions do not fit a context of {self.context}",
                hint="load the model with a larger context, or shorten the prompt",
            )
        limits = (
            ("tokens", count, 1, manifest.max_tokens),
            ("outputs", len(schedule.outputs), int(schedule.steps > 0), manifest.max_outputs),
            ("steps", schedule.steps, 0, _RING),
            ("stops", len(schedule.stops), 0, abi.MAX_STOPS),
        )
        for name, value, low, high in limits:
            if not low <= value <= high:
                raise RequestError(f"a schedule takes {low} to {high} {name}, not {value}")
        if schedule.steps and len(schedule.outputs) != 1:
            raise RequestError("a schedule that generates has one output")
        tokens = schedule.tokens
        if int(tokens.min()) < 0 or int(tokens.max()) >= manifest.vocabulary:
            raise RequestError(f"token ids are 0 to {manifest.vocabulary - 1}")

    @property
    def finished(self) -> bool:
        """Whether the last schedule has ended."""
        return self._get("finished") >= getattr(self, "_target", 0)

    def poll(self) -> list[int]:
        """Tokens generated since the last poll; never blocks."""
        count = self._get("ring_count")
        tokens = self._ring[self._read : count].tolist()
        self._read = count
        return tokens

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep until the schedule has ended, `timeout` seconds at most; whether it has."""
        end = None if timeout is None else perf_counter() + timeout
        place = self._memory.address + 8 * abi.word("finished")
        while not self.finished:
            left = None if end is None else end - perf_counter()
            if left is not None and left <= 0:
                return False
            futex_wait(place, self._target - 1, left)
        return True

    def cancel(self) -> None:
        """Let the running schedule end after its current step."""
        self._set("cancel", 1)

    def logits(self) -> NDArray[np.float32]:
        """Logits of the last step, `[outputs, vocabulary]`: a view until the next schedule."""
        manifest = self.manifest
        whole = self._shared.view()[manifest.logits_at :].view(np.float32)
        rows = whole[: manifest.max_outputs * manifest.logits_stride]
        return rows.reshape(-1, manifest.logits_stride)[: self._output_rows, : manifest.vocabulary]

    # measurement

    def sweep(self, passes: int, kv_tokens: int = 0) -> float:
        """Seconds for reading all packed weights (and KV entries), and nothing else, `passes` times.

        The workers, the bytes and their places are those of a decode step.
        """
        share = kv_tokens * self.manifest.cache.token_bytes // self.workers // 512 * 512
        self._set("cache_sweep", min(share, self._cache.bytes // self.workers))
        self._set("sweep_passes", passes)
        start = perf_counter()
        self._issue(abi.Command.SWEEP)
        self.wait()
        return perf_counter() - start

    def profile(self) -> list[dict[str, tuple[int, int]]]:
        """For each worker, cycles of waiting and of work by stage, since the last call."""
        counts = self._profiles.copy()
        self._profiles[:] = 0
        return [
            {
                name: (int(wait), int(work))
                for name, (wait, work) in zip(self.manifest.stages, rows, strict=True)
            }
            for rows in counts
        ]

    def close(self) -> None:
        """End the workers; the object cannot be used after."""
        self._closer()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _enter(entry, control: int, worker: int, cpus: set[int]) -> None:
    """The life of a worker thread: native code, entered once."""
    os.sched_setaffinity(0, cpus)
    entry(control, worker)


def _close(control: NDArray[np.int64], post, threads: list[threading.Thread]) -> None:
    """Ask the workers to leave, and wait until they have: their memory is freed after."""
    control[abi.word("cancel")] = 1
    while control[abi.word("finished")] < control[abi.word("epoch")]:
        threading.Event().wait(0.001)
    control[abi.word("command")] = int(abi.Command.EXIT)
    post(control.ctypes.data)
    for thread in threads:
        thread.join()
