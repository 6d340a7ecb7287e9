"""How fast an answer came, and how fast memory would have allowed."""

from __future__ import annotations

from headrace.api import Model
from headrace.cli.console import byte_count
from headrace.engine.generation import Statistics

SWEEP_SECONDS = 0.03
LEAST_PASSES = 2


def roofline_fraction(model: Model, statistics: Statistics) -> float | None:
    """Time to only read what a token needs over the time a token took; None if too few came.

    The workers read the same weights, and the KV of a context of the answer's mean length, right
    now.
    """
    rate = statistics.tokens_per_second
    if rate is None:
        return None
    passes = max(LEAST_PASSES, round(SWEEP_SECONDS * rate))
    mean_context = statistics.prompt_tokens + statistics.generated_tokens // 2
    try:
        return model.program.sweep(passes, mean_context) / passes * rate
    except KeyboardInterrupt:
        model.program.wait()  # the workers must be at rest before the next answer
        raise


def closing_line(model: Model, statistics: Statistics) -> str:
    """The answer's figures in one line."""
    count = statistics.generated_tokens
    parts = [f"{count} token" if count == 1 else f"{count} tokens"]
    rate, share = statistics.tokens_per_second, roofline_fraction(model, statistics)
    if rate is not None and share is not None:
        read = byte_count(model.program.manifest.weight_bytes_per_token)
        parts += [f"{rate:.1f} tokens/s", f"{share:.0%} of the roofline ({read} read per token)"]
    parts.append(f"first after {statistics.prefill_seconds:.2f} s")
    return " · ".join(parts)
