"""From a request to jobs of the engine: prompt, limits, how tokens are drawn."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from headrace.engine.choice.choice import Choice, Grammar
from headrace.engine.job import Job
from headrace.server.link.client import EngineClient
from headrace.server.protocol.base import INT63
from headrace.server.protocol.sampling import Drawn
from headrace.server.routes.fitting import require_fitting, require_known

COLDEST = 1e-5


@dataclass(frozen=True, slots=True)
class Terms:
    """What a request's answers have in common besides how they are drawn.

    Attributes:
        max_tokens: None: as many as the context holds.
        logprobs: how many alternatives are told; None: nothing is.
        client, seconds: as `Job` has them.
    """

    max_tokens: int | None
    logprobs: int | None
    grammar: Grammar | None
    client: str
    seconds: float | None


def jobs_of(
    engine: EngineClient,
    request: Drawn,
    prompts: Sequence[list[int]],
    count: int,
    terms: Terms,
) -> list[Job]:
    """`count` jobs for each prompt, in order; with a seed, the answers' seeds count up from it.

    Raises:
        ContextLengthError: a prompt does not fit the context.
        RequestError: a prompt has no tokens, or one that the vocabulary has not.
    """
    choice = _choice(request, terms, engine.vocabulary)
    require_known(engine, request.stop_token_ids or (), "stop_token_ids")
    name = secrets.token_hex(12)
    jobs: list[Job] = []
    for at, prompt in enumerate(prompts):
        limit = _limit(engine, prompt, terms.max_tokens, at, len(prompts))
        for turn in range(count):
            identifier = f"{name}-{at}-{turn}"
            jobs.append(_job(identifier, request, prompt, limit, turn, choice, terms))
    return jobs


def _job(
    identifier: str,
    request: Drawn,
    prompt: list[int],
    limit: int,
    turn: int,
    choice: Choice | None,
    terms: Terms,
) -> Job:
    return Job(
        id=identifier,
        tokens=prompt,
        max_tokens=limit,
        temperature=_temperature(request.temperature),
        top_k=max(request.top_k or 0, 0),
        top_p=1.0 if request.top_p is None else request.top_p,
        min_p=request.min_p or 0.0,
        seed=None if request.seed is None else (request.seed + turn + INT63) % (2 * INT63) - INT63,
        ignore_stops=bool(request.ignore_eos),
        stop_tokens=tuple(request.stop_token_ids or ()),
        choice=choice,
        client=terms.client,
        seconds=terms.seconds,
    )


def _temperature(wanted: float | None) -> float:
    """OpenAI's default; so little that logits divided by it overflow is none."""
    if wanted is None:
        return 1.0
    return wanted if wanted >= COLDEST else 0.0


def _limit(
    engine: EngineClient, prompt: Sequence[int], wanted: int | None, at: int, prompts: int
) -> int:
    """Tokens to generate: the last one needs no room in the context."""
    where = "prompt" if prompts == 1 else f"prompt[{at}]"
    require_fitting(engine, prompt, "prompt", where)
    room = engine.context - len(prompt) + 1
    return room if wanted is None else min(wanted, room)


def _choice(request: Drawn, terms: Terms, vocabulary: int) -> Choice | None:
    """What the host has to do for each token; None where nothing is asked for."""
    biases = {int(key): value for key, value in (request.logit_bias or {}).items()}
    choice = Choice(
        presence_penalty=request.presence_penalty or 0.0,
        frequency_penalty=request.frequency_penalty or 0.0,
        repetition_penalty=request.repetition_penalty or 1.0,
        logit_bias=biases,
        logprobs=terms.logprobs,
        grammar=terms.grammar,
    )
    choice.check(vocabulary)
    return None if choice == Choice() else choice
