"""What the terminal shows beside the answer; it all goes to stderr."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from headrace.checkpoint.progress import Progress

if TYPE_CHECKING:
    import rich.progress


def terminal_progress() -> Progress:
    """Bars on a terminal, one line a step elsewhere."""
    return Bars() if sys.stderr.isatty() else Lines()


def note(text: str) -> None:
    """A remark, dimmed on a terminal."""
    plain = not sys.stderr.isatty()
    print(text if plain else f"\x1b[2m{text}\x1b[0m", file=sys.stderr, flush=True)


def byte_count(count: int) -> str:
    """Bytes in decimal units, three digits: 98.4 MB."""
    return three_digits(count, ("B", "kB", "MB", "GB", "TB"))


def three_digits(count: int, units: Sequence[str]) -> str:
    """A number in the first of some units, each a thousand of the one before, that suits it."""
    value, last = float(count), len(units) - 1
    power = 0
    while value >= 999.5 and power < last:
        value, power = value / 1000, power + 1
    return f"{value:.3g} {units[power]}".rstrip()


class Lines:
    """One line a step."""

    def start(self, label: str, total_bytes: int | None) -> None:
        size = "" if total_bytes is None else f" ({byte_count(total_bytes)})"
        print(f"{label}{size}", file=sys.stderr, flush=True)

    def advance(self, byte_count: int) -> None:
        pass

    def done(self) -> None:
        pass


class Bars:
    """A bar where the size is known, a spinner and the seconds where it is not."""

    def __init__(self) -> None:
        self._bar: rich.progress.Progress | None = None
        self._task: rich.progress.TaskID | None = None

    def start(self, label: str, total_bytes: int | None) -> None:
        self._bar = _bytes_bar() if total_bytes is not None else _spinner()
        self._task = self._bar.add_task(label, total=total_bytes)
        self._bar.start()

    def advance(self, byte_count: int) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, byte_count)

    def done(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None


def _bytes_bar() -> rich.progress.Progress:
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _spinner() -> rich.progress.Progress:
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}"),
        progress.TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
