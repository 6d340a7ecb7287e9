"""`headrace run`: answer a prompt, or chat."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from headrace.cli.choices import Isa, Kv, Weights
from headrace.engine.request import DEFAULT_MAX_TOKENS, Request
from headrace.errors import RequestError

DEFAULT_MODEL = "smollm2"
Switch = Parameter(negative="")


def run(
    model: str = DEFAULT_MODEL,
    prompt: str | None = None,
    /,
    *,
    raw: Annotated[bool, Switch] = False,
    max_tokens: int = DEFAULT_MAX_TOKENS,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    seed: int | None = None,
    context: int | None = None,
    threads: int | None = None,
    weights: Weights = "auto",
    kv: Kv = "auto",
    isa: Isa | None = None,
) -> int:
    """Answer a prompt, or chat; gives the exit status.

    Args:
        model: An alias (smollm2), a GGUF file, a Hugging Face directory, a hub id owner/name, or
            random:SHAPE@FORMAT.
        prompt: What to answer; without it, stdin is read, and a terminal becomes a chat.
        raw: Continue the prompt as it stands, without the model's chat template.
        max_tokens: End the answer after so many tokens.
        temperature: 0 takes the likeliest token each time; higher is more varied.
        top_k: Draw among the k likeliest tokens only (0: off).
        top_p: Draw among the likeliest tokens that together reach this probability.
        min_p: Leave out tokens below this share of the likeliest one's probability.
        seed: The same seed gives the same answer; random if not given.
        context: Tokens that prompt and answer may have together; what the model allows, up to
            8192, if not given.
        threads: Workers; one for each physical core allowed, if not given.
        weights: Keep the stored format, or convert matrices: f32, bf16, or 8 or 4 bits (q8, q4).
        kv: Keep keys and values as f16 (f32 where all weights are), or as f32, f16, bf16, or 8 bits
            with a scale for each head (q8).
    """
    request = Request(max_tokens, temperature, top_k, top_p, min_p, seed)
    prompt = _prompt(model, prompt, raw)
    from headrace.cli.session import Session

    with Session.open(model, request, raw, context, threads, weights, kv, isa) as session:
        return session.chat() if prompt is None else session.answer_once(prompt)


def _prompt(model: str, prompt: str | None, raw: bool) -> str | None:
    """The prompt as given or from stdin; None where a terminal is to become a chat."""
    if prompt is None and len(model.split()) > 1 and not Path(model).exists():
        hint = f"headrace run {DEFAULT_MODEL} {shlex.quote(model)}"
        raise RequestError(f"there is no model '{model}'", where="MODEL", hint=hint)
    if prompt is None and not sys.stdin.isatty():
        prompt = _stdin()
    if prompt is not None and not prompt.strip() and not raw:
        raise RequestError("the prompt is empty", where="PROMPT", hint='headrace run smollm2 "Hi"')
    return prompt


def _stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise RequestError("the prompt is not UTF-8", where=f"stdin, byte {error.start}") from error
