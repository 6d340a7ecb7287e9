"""What of a build the user may choose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from headrace.errors import RequestError

Weights = Literal["auto", "f32", "bf16", "q8", "q4"]
Kv = Literal["auto", "f32", "f16", "bf16", "q8"]
Isa = Literal["avx512", "avx-vnni", "avx2", "avx", "i8mm", "dotprod", "neon"]
Mapping = Literal["auto", "rows", "columns"]
MAX_WORKERS = 1024


@dataclass(frozen=True, slots=True)
class Options:
    """The choices that give different programs.

    Attributes:
        workers: threads; more than there are cores is allowed, and slower.
        weights: `auto` keeps the formats that are stored; all others convert matrices: `q8` and
            `q4` to 8 and 4 bits, with a scale for 32 columns.
        kv: how keys and values are kept: `auto` is f32 where all matrices are, else f16; `q8` has
            8 bits with a scale for each head's key or value.
        trace: record what each worker does, and when, while the program runs.
        isa: code for no more than this instruction set; None takes all that the machine has.
        mapping: of products onto workers: `rows`, with an exchange between any two; `columns`, with
            two exchanges a layer where that is possible; `auto`, what costs less on the machine.

    Raises:
        RequestError: a value is out of its range.
    """

    workers: int
    weights: Weights = "auto"
    trace: bool = False
    kv: Kv = "auto"
    isa: Isa | None = None
    mapping: Mapping = "auto"

    def __post_init__(self) -> None:
        _require_choice("weights", self.weights, get_args(Weights))
        _require_choice("kv", self.kv, get_args(Kv))
        _require_choice("mapping", self.mapping, get_args(Mapping))
        if self.isa is not None:
            _require_choice("isa", self.isa, get_args(Isa))
        if not _is_count(self.workers) or not 1 <= self.workers <= MAX_WORKERS:
            raise RequestError(
                f"threads is {self.workers!r}; it must be an integer from 1 to {MAX_WORKERS}",
                where="threads",
            )


def _require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise RequestError(
            f"{name} is {value!r}; it must be one of {', '.join(choices)}", where=name
        )


def _is_count(value: object) -> bool:
    return type(value) is int


def default_workers() -> int:
    """One worker for each physical core that this process may use.

    Where `headrace doctor` has measured that fewer read faster, as many as those.
    """
    from headrace.machine import probe_host, recall_workers

    return recall_workers(probe_host())
