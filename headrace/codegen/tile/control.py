"""Control flow in the tile language: loops and branches as `with` statements."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager

from llvmlite import ir

from headrace.codegen.tile.core import Core
from headrace.codegen.tile.types import I1, I64, LANES, vector
from headrace.codegen.tile.value import Raw, Value

Branch = AbstractContextManager[object]


class Control(Core):
    """Loops and branches."""

    @contextmanager
    def range(
        self, start: Value | int, stop: Value | int, step: Value | int = 1
    ) -> Generator[Value]:
        """`for index in range(start, stop, step)`; the index is an i64."""
        index = self.variable(self.like(start, I64))
        limit = self.like(stop, I64)
        with self._loop("range", lambda: index.get() < limit):
            current = index.get()
            yield current
            index.set(current + self.like(step, I64))

    @contextmanager
    def loop_while(self, condition: Callable[[], Value]) -> Generator[None]:
        """`while condition()`; the condition is emitted once, before the body."""
        with self._loop("while", condition):
            yield

    @contextmanager
    def _loop(self, name: str, condition: Callable[[], Value]) -> Generator[None]:
        head, body, exit = (
            self.function.append_basic_block(each)
            for each in (name, f"{name}.body", f"{name}.exit")
        )
        self.builder.branch(head)
        self.builder.position_at_end(head)
        self.builder.cbranch(condition().raw, body, exit)
        self.builder.position_at_end(body)
        yield
        self.builder.branch(head)
        self.builder.position_at_end(exit)

    @contextmanager
    def when(self, condition: Value) -> Generator[None]:
        """`if condition`."""
        with self.builder.if_then(condition.raw):
            yield

    @contextmanager
    def otherwise(self, condition: Value) -> Generator[tuple[Branch, Branch]]:
        """`with e.otherwise(c) as (then, other): with then: ...; with other: ...`."""
        branches: Raw = self.builder.if_else(condition.raw)
        with branches as (then, other):
            yield then, other

    def lanes(self, count: int) -> Iterator[tuple[Value, Value | None]]:
        """Cover `count` elements (known now) by vectors: pairs of offset (i64) and mask.

        The body is emitted once in a loop over whole vectors, and once more, masked, for the tail.
        """
        whole = count // LANES * LANES
        if whole == LANES:
            yield self.i64(0), None
        elif whole:
            with self.range(0, whole, LANES) as index:
                yield index, None
        if count % LANES:
            yield self.i64(whole), self.first_lanes(count % LANES)

    def first_lanes(self, count: int) -> Value:
        """The mask of a vector's first `count` lanes."""
        bits = [lane < count for lane in range(LANES)]
        return Value(self, ir.Constant(vector(I1), bits))
