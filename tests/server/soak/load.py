"""Arrivals in bursts, from many clients, and what came of them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.server.soak.answers import ask, leave
from tests.server.soak.requests import Asked

CLIENTS = 48
LEAVING = 0.08
#: Requests a second on the average; a lull and a burst take turns.
RATE = 6.0
TURN_SECONDS = 10.0
LULL, BURST = 0.4, 1.6


@dataclass(slots=True)
class Outcome:
    """What came of the requests; `wrong` tells of each that was not answered as it must be."""

    asked: Counter[str] = field(default_factory=Counter[str])
    same: int = 0
    left: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list[str])
    lock: threading.Lock = field(default_factory=threading.Lock)


def answers_alone(url: str, catalogue: list[Asked]) -> list[Any]:
    """The answers of an otherwise idle server, one after the other."""
    answers: list[Any] = []
    for asked in catalogue:
        status, answer = ask(url, asked, stream=False)
        assert status == asked.status, f"{asked}: {status} {answer}"
        answers.append(answer)
    return answers


def load(
    url: str, catalogue: list[Asked], alone: list[Any], random: Random, seconds: float
) -> Outcome:
    """Ask for so long, as the clients come: they do not wait for one another's answers."""
    outcome = Outcome()
    start = next_at = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        while next_at - start < seconds:
            time.sleep(max(0.0, next_at - time.monotonic()))
            which, stream = random.randrange(len(catalogue)), random.random() < 0.5
            bytes_read = random.randrange(1, 3000) if random.random() < LEAVING else None
            pool.submit(
                _one, url, catalogue[which], alone[which], outcome, stream=stream, until=bytes_read
            )
            turn = BURST if (next_at - start) // TURN_SECONDS % 2 else LULL
            next_at += random.expovariate(RATE * turn)
    return outcome


def _one(
    url: str, asked: Asked, alone: Any, outcome: Outcome, *, stream: bool, until: int | None
) -> None:
    stream = stream and asked.streams
    leaves = until is not None and asked.status == 200
    try:
        if leaves:
            leave(url, asked, stream=stream, bytes_read=until or 1)
            wrong = ""
        else:
            status, answer = ask(url, asked, stream=stream)
            wrong = _wrong(asked, alone, status, answer)
    except Exception as error:
        wrong = f"{type(error).__name__}: {error}"
    with outcome.lock:
        outcome.asked[asked.kind] += 1
        outcome.left += leaves
        outcome.refused += asked.status != 200
        outcome.same += not leaves and not wrong and asked.status == 200 and asked.repeats
        if wrong:
            outcome.wrong.append(f"{asked.kind}, stream={stream}: {wrong}\n  {asked.body!r:.600}")


def _wrong(asked: Asked, alone: Any, status: int, answer: Any) -> str:
    if status != asked.status:
        return f"status {status}: {answer!r:.300}"
    if asked.repeats and answer != alone:
        return f"answered\n  {answer!r:.800}\nalone\n  {alone!r:.800}"
    return ""
