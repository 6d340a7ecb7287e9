"""What a workload is, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["decode", "prefill", "batch", "mixed", "threads", "serve"]

OURS, BEST_PEER = "headrace", "the best peer"
ROOFLINE, MULTIPLIERS = "roofline", "multiplier_peak"
STEP_RATIO, LONGEST_WAIT, SPEED_KEPT = "step_over_one", "longest_wait", "speed_kept"
SERVED_SHARE, FIRST_TOKEN = "served_over_batch", "first_token_ms"
GAP, GAP_P99, GAP_RATIO = "gap_ms", "gap_p99_ms", "gap_p99_over_median"

#: What a figure is, around its value.
FIGURE_TEXTS: Mapping[str, str] = {
    ROOFLINE: "{} of the roofline",
    MULTIPLIERS: "{} of the multipliers' peak",
    STEP_RATIO: "{}× the step of one sequence",
    LONGEST_WAIT: "longest wait {} steps",
    SPEED_KEPT: "{} of the speed with a thread a core",
    SERVED_SHARE: "{} of the engine's own batch",
    FIRST_TOKEN: "first token after {} ms",
    GAP_RATIO: "gaps between tokens, 99th percentile {}× the median",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure must reach.

    Attributes:
        figure: a key of `FIGURE_TEXTS`, or the engine (or `BEST_PEER`) to be faster than.
        bound: the least value, or the greatest one where `at_most`.
    """

    figure: str
    bound: float
    at_most: bool = False

    @property
    def text(self) -> str:
        sign = "≤" if self.at_most else "≥"
        known = FIGURE_TEXTS.get(self.figure, f"{{}}× {self.figure}")
        return known.format(f"{sign} {self.bound:g}")

    def met(self, value: float) -> bool:
        """Whether a value is on the good side of the bound."""
        return value <= self.bound if self.at_most else value >= self.bound


@dataclass(frozen=True, slots=True)
class Workload:
    """One line of the suite.

    Attributes:
        title: for people. model: as any command takes it.
        kind: `decode` steps of one sequence; `prefill` of one prompt; `batch` decodes several
            sequences; `mixed` does while prompts arrive; `threads` decodes with twice as many
            threads as there are cores; `serve` answers streams of requests over HTTP.
        context: tokens in the cache before decoding, or those of a prompt.
        steps: that are timed together. sequences: that decode together.
        rounds: answers that each stream of `serve` has, one after the other.
        peers: keys of the engines that are asked. alone: why no others are.
    """

    name: str
    title: str
    model: str
    kind: Kind
    bars: tuple[Bar, ...]
    context: int = 64
    steps: int = 64
    sequences: int = 1
    rounds: int = 1
    peers: tuple[str, ...] = ()
    alone: str = ""

    @property
    def tokens(self) -> int:
        """Tokens of one timed run, over all sequences."""
        return self.context if self.kind == "prefill" else self.steps * self.answers

    @property
    def answers(self) -> int:
        """Sequences of one timed run, at the same time or one after the other."""
        return self.sequences * self.rounds

    @property
    def positions(self) -> int:
        """Positions that one sequence fills."""
        return self.context if self.kind == "prefill" else self.context + self.steps

    def quick(self) -> Workload:
        """The same with fewer steps: a look, not a result."""
        return replace(self, steps=min(self.steps, 16))
