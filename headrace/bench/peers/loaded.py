"""A peer with a model, at the fastest of its own settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from headrace.bench.peers.engines import Engine
from headrace.bench.peers.peer import Tokens
from headrace.bench.peers.process import LIMIT_S, PeerProcess
from headrace.errors import MachineError


@dataclass(frozen=True, slots=True)
class Room:
    """What a peer must have room for: sequences of `context` tokens each."""

    context: int
    sequences: int = 1


class LoadedPeer:
    """An engine's process with a model; see `Peer`.

    Its first setting holds until `tune` looks for the fastest.

    Args:
        path: the model's file.
        limit: seconds that an answer may take.

    Raises:
        RequestError: the engine is not installed in `python`.
        MachineError: it cannot read the model; the reason is its own.
    """

    def __init__(
        self,
        engine: Engine,
        python: str,
        path: Path,
        threads: int,
        room: Room,
        limit: float = LIMIT_S,
    ) -> None:
        self.name = engine.name
        self._process = PeerProcess(engine, python, threads, limit)
        load = {"path": str(path), "threads": threads, **engine.arguments}
        size = {"context": room.context, "sequences": room.sequences}
        try:
            reply = self._process.ask({**load, **size})
            self.version: str = reply["version"]
            self._settings: list[str] = reply["options"]
            self._choose(0)
        except BaseException:
            self._process.close()
            raise

    @property
    def setting(self) -> str:
        """The chosen setting, or nothing where there is only one."""
        return self._settings[self._setting] if len(self._settings) > 1 else ""

    def prefill(self, tokens: Tokens) -> float:
        return self._seconds("prefill", tokens=list(tokens))

    def decode(self, prompts: Sequence[Tokens], steps: int) -> float:
        return self._seconds("decode", prompts=[list(each) for each in prompts], steps=steps)

    def tune(self, work: Callable[[], float]) -> None:
        """Choose the setting with which `work`, run for the second time, takes least seconds.

        Raises:
            MachineError: the work fails with every setting; the reason is the last one's.
        """
        if len(self._settings) == 1:
            work()
            return
        found: dict[int, float] = {}
        for setting in range(len(self._settings)):
            try:
                self._choose(setting)
                work()
                found[setting] = work()
            except MachineError:
                if not found and setting == len(self._settings) - 1:
                    raise
        best = min(found, key=found.__getitem__)
        if best != self._setting:
            self._choose(best)
            work()

    def close(self) -> None:
        """End the process."""
        self._process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _choose(self, setting: int) -> None:
        self._setting = setting
        self._process.ask({"do": "choose", "option": setting})

    def _seconds(self, method: str, **arguments: object) -> float:
        return float(self._process.ask({"do": method, **arguments})["seconds"])
