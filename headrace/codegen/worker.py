"""The persistent program: one function that each worker enters once and leaves at the end.

A worker sleeps until the host raises `epoch`, then does its share of every stage of every step
of the schedule. Worker 0 also decides whether there is a next step, and hands tokens to the host
through the ring.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llvmlite import ir
from xdsl.dialects.builtin import ModuleOp

from headrace.codegen import abi
from headrace.codegen.buffers import has_output_rows
from headrace.codegen.decide import Decision
from headrace.codegen.frame import FRAME_BYTES, Frame, worker_table
from headrace.codegen.places import Places
from headrace.codegen.plan import Plan
from headrace.codegen.record import Other
from headrace.codegen.stage import emit_before_wait, emit_stage
from headrace.codegen.streams import stream_length
from headrace.codegen.sweep import sweep_bytes
from headrace.codegen.target import Target
from headrace.codegen.tile import I64, PTR, Emitter, Value, function
from headrace.codegen.tokens import await_word, raise_word, signal
from headrace.codegen.trace import Trace, export_clock
from headrace.codegen.waits import Waits
from headrace.ir.mapping_ops import StageOp
from headrace.ir.stages import stage_kind, stage_name

#: Spins of a worker that waits for the next schedule before it sleeps: a short pause of the host.
_IDLE_SPINS = 2000


#: Addresses in the control block that stages find in the frame, under the same names.
_ADDRESSES = (
    *("shared", "cache", "vectors", "rows", "tables"),
    *("positions", "slots", "segments", "sampled", "sequences", "block_table"),
)


class WorkerCode:
    """Builds the module of a mapped program."""

    def __init__(
        self, module: ModuleOp, target: Target, max_tokens: int, *, trace: bool = False
    ) -> None:
        self.plan = Plan(module, max_tokens, traced=trace)
        self.target = target
        self.features = target.special
        self.out = ir.Module("headrace")
        self.out.triple = target.triple

    def build(self) -> ir.Module:
        """The LLVM module; it exports `worker(control, number)` and `post(control)`.

        A traced one exports `clock()`, too.
        """
        functions = {stage_name(stage): self._stage(stage) for stage in self.plan.stages}
        step = self._step(functions)
        run = self._run(step)
        self._worker(run)
        self._post()
        if self.plan.traced:
            export_clock(self.out, self.features)
        return self.out

    # one stage

    def _stage(self, stage: StageOp) -> ir.Function:
        """The function `(frame)`: wait for the stage's tokens, do the share, signal."""
        name = f"stage_{stage_name(stage)}"
        e, (base,) = function(self.out, name, [PTR], self.features)
        frame = Frame(e, base)
        index = self.plan.stages.index(stage)
        trip = frame.get("trip") if self.plan.in_loop(stage) else e.i64(0)
        places = Places(e, frame, self.plan, stage, trip)
        trace = self._trace(e, frame)
        waits = Waits(e, frame, self.plan)
        emit_before_wait(places)
        self._before(waits, stage)
        trace.mark("ready")
        emit_stage(places)
        if stage_kind(stage) == "sample":
            self._decide(e, frame)
        trace.mark("end")
        signal(e, frame)
        trace.close(index, trip)
        e.give()
        e.function.attributes.add("noinline")
        return e.function

    def _trace(self, e: Emitter, frame: Frame) -> Trace:
        return Trace(e, frame, self.plan.traced)

    def _before(self, waits: Waits, stage: StageOp) -> None:
        """Wait for a stage's tokens; who has no row to sample goes on."""
        if stage_kind(stage) != "sample":
            waits.before(stage)
            return
        with waits.e.when(waits.frame.get("worker") < waits.frame.get("outputs")):
            waits.before(stage)

    def _decide(self, e: Emitter, frame: Frame) -> None:
        """Worker 0 waits until all have sampled, and prepares the next step."""
        with e.when(frame.get("worker").equals(0)):
            with e.when(frame.get("outputs") > 1):
                self._await_others(e, frame, frame.get("sequence") + 1)
            Decision(e, frame).emit()

    def _await_others(self, e: Emitter, frame: Frame, target: Value) -> None:
        """Wait until all workers but worker 0 have counted so far."""
        wait = await_word(self.out, self.features)
        spins, yields = frame.control_word("spins"), frame.control_word("yields")
        for other in range(1, self.plan.workers):
            place = frame.worker_place("counter", other)
            sleepers = frame.worker_place("sleepers", other)
            e.call(wait, place, sleepers, target, spins, yields)

    # one step, one schedule

    def _step(self, functions: dict[str, ir.Function]) -> ir.Function:
        """The function `(frame)`: one step's stages; head and sampling where they are wanted."""
        e, (base,) = function(self.out, "step", [PTR], self.features)
        frame = Frame(e, base)
        for section in self.plan.sections:
            if section.loop is None:
                self._call_stages(e, frame, section.stages, functions)
                continue
            with e.range(0, section.trips) as trip:
                frame.set("trip", trip)
                self._call_stages(e, frame, section.stages, functions)
        e.give()
        return e.function

    def _call_stages(
        self,
        e: Emitter,
        frame: Frame,
        stages: Sequence[StageOp],
        functions: Mapping[str, ir.Function],
    ) -> None:
        """Call stages in order; those of the outputs only where there are any."""
        for stage in stages:
            body = functions[stage_name(stage)]
            if stage_kind(stage) == "sample":
                with e.when(frame.control_word("sampling") > 0):
                    e.call(body, frame.base)
            elif has_output_rows(stage):
                with e.when(frame.get("outputs") > 0):
                    e.call(body, frame.base)
            else:
                e.call(body, frame.base)

    def _run(self, step: ir.Function) -> ir.Function:
        """The function `(frame)`: all steps of one schedule."""
        e, (base,) = function(self.out, "run", [PTR], self.features)
        frame = Frame(e, base)
        self._take_counts(frame)
        frame.set("prefetched", frame.get("stream"))
        e.call(step, base)
        sampling = frame.control_word("sampling") > 0
        go = e.variable(self._continues(e, frame, sampling))
        with e.loop_while(lambda: go.get() > 0):
            self._take_counts(frame)
            e.call(step, base)
            go.set(self._continues(e, frame, sampling))
        e.give()
        return e.function

    def _take_counts(self, frame: Frame) -> None:
        """What the coming step has, as the host or worker 0 has said."""
        frame.set("tokens", frame.control_word("token_count"))
        frame.set("outputs", frame.control_word("output_count"))
        frame.set("segment_count", frame.control_word("segment_count"))

    def _continues(self, e: Emitter, frame: Frame, sampling: Value) -> Value:
        """Worker 0's decision, once its sampling of this step is done."""
        result = e.variable(e.i64(0))
        with e.when(sampling):
            frame.set("prefetched", frame.get("stream"))
            Waits(e, frame, self.plan).for_first_worker()
            self._ended(e, frame, Other.DECISION)
            result.set(frame.control_word("go"))
        return result.get()

    def _ended(self, e: Emitter, frame: Frame, what: Other) -> None:
        """Record that something is over that is no stage."""
        trace = self._trace(e, frame)
        trace.mark("end")
        trace.close(what)

    # the worker

    def _worker(self, run: ir.Function) -> None:
        arguments = [PTR, I64]
        e, (control, number) = function(self.out, "worker", arguments, self.features, exported=True)
        frame = Frame(e, e.stack(FRAME_BYTES))
        self._fill(e, frame, control, number)
        self._trace(e, frame).start()
        wait = await_word(self.out, self.features)
        sweep = sweep_bytes(self.out, self.features)
        epoch = e.variable(e.i64(1))
        running = e.variable(e.i64(1))
        with e.loop_while(lambda: running.get() > 0):
            place = frame.control_place("epoch")
            spins = e.i64(_IDLE_SPINS)
            e.call(wait, place, e.offset(place, 32), epoch.get(), spins, e.i64(0))
            self._ended(e, frame, Other.IDLE)
            epoch.set(epoch.get() + 1)
            command = frame.control_word("command")
            self._refresh(frame)
            with e.when(command.equals(int(abi.Command.RUN))):
                e.call(run, frame.base)
            with e.when(command.equals(int(abi.Command.SWEEP))):
                self._sweep(e, frame, sweep)
                self._ended(e, frame, Other.SWEEP)
            with e.when(command.equals(int(abi.Command.EXIT))):
                running.set(0)
            self._finish(e, frame)
        e.give()

    def _post(self) -> None:
        """The function `post(control)`: the host raises `epoch` and wakes the workers."""
        e, (control,) = function(self.out, "post", [PTR], self.features, exported=True)
        place = e.offset(control, 8 * abi.word("epoch"))
        raise_word(e, place, e.offset(place, 32), e.load(place, I64) + 1)
        e.give()

    def _fill(self, e: Emitter, frame: Frame, control: Value, number: Value) -> None:
        frame.set("control", control)
        frame.set("worker", number)
        for name in ("sequence", "claim_base", "blocks_done", "trip"):
            frame.set(name, e.i64(0))
        for name in ("stream", "private", "trace"):
            frame.set(name, e.load(frame.worker_place(name, number), PTR))

    def _refresh(self, frame: Frame) -> None:
        """Addresses that the host may change between schedules."""
        for name in _ADDRESSES:
            frame.set(name, frame.control_word(name, PTR))
        for name in ("table_stride", "capacity"):
            frame.set(name, frame.control_word(name))
        frame.set("token_ids", frame.control_word("tokens", PTR))
        frame.set("output_rows", frame.control_word("outputs", PTR))

    def _sweep(self, e: Emitter, frame: Frame, sweep: ir.Function) -> None:
        """Read this worker's stream, and its part of the KV cache, and nothing else."""
        lengths = [stream_length(self.plan, worker) for worker in range(self.plan.workers)]
        stream = worker_table(e, frame, lengths, "stream_bytes")
        share = frame.control_word("cache_sweep")
        cache = e.offset(frame.get("cache"), share * frame.get("worker"))
        with e.range(0, frame.control_word("sweep_passes")):
            e.call(sweep, frame.get("stream"), stream)
            e.call(sweep, cache, share)

    def _finish(self, e: Emitter, frame: Frame) -> None:
        """Count the end of the command; worker 0 tells the host when all have come to it."""
        signal(e, frame)
        with e.when(frame.get("worker").equals(0)):
            self._await_others(e, frame, frame.get("sequence"))
            done = frame.control_place("finished")
            raise_word(e, done, e.offset(done, 32), e.load(done, I64) + 1)
