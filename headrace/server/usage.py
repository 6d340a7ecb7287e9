"""What a request took, summed over its answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.server.streaming.answer import Answer


def usage_of(prompts: Sequence[int], answers: Sequence[Answer], *, reasons: bool) -> dict[str, Any]:
    """OpenAI's `usage`.

    Args:
        prompts: tokens of each different prompt; a prompt with several answers counts once.
        reasons: whether to tell the tokens of reasoning.
    """
    prompt, completion = sum(prompts), sum(each.tokens for each in answers)
    # The first answer to a prompt tells what was there before the request.
    per_prompt = len(answers) // len(prompts)
    firsts = answers[::per_prompt]
    cached = sum(each.usage.cached_tokens for each in firsts if each.usage is not None)
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    if reasons:
        tokens = sum(each.reasoning_tokens for each in answers)
        usage["completion_tokens_details"] = {"reasoning_tokens": tokens}
    return usage


def timings_of(answers: Sequence[Answer]) -> dict[str, Any]:
    """Where the time of the slowest answer went, and tokens a second of all together."""
    known = [each.usage for each in answers if each.usage is not None]
    queue = max((each.queue_seconds for each in known), default=0.0)
    prefill = max((each.prefill_seconds for each in known), default=0.0)
    decode = max((each.decode_seconds for each in known), default=0.0)
    fresh = sum(each.prompt_tokens - each.cached_tokens for each in known)
    decoded = sum(max(each.generated_tokens - 1, 0) for each in known)
    return {
        "queue_ms": _ms(queue),
        "prefill_ms": _ms(prefill),
        "decode_ms": _ms(decode),
        "prompt_per_second": _rate(fresh, prefill),
        "predicted_per_second": _rate(decoded, decode),
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _rate(tokens: int, seconds: float) -> float | None:
    return round(tokens / seconds, 2) if seconds > 0 else None
