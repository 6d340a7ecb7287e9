"""`/v1/completions`."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from headrace.errors import RequestError
from headrace.server.protocol.chat import usage_told
from headrace.server.protocol.completions import Completion, CompletionRequest
from headrace.server.protocol.sampling import stop_texts
from headrace.server.reasoning import ReasoningSplit
from headrace.server.routes.jobs import Terms, jobs_of
from headrace.server.routes.serving import (
    ERRORS,
    STREAMED,
    client_of,
    engine_of,
    event_stream,
    json_response,
    log_prompts,
    settings_of,
)
from headrace.server.routes.texts import texts_of, token_lists
from headrace.server.streaming import completion
from headrace.server.streaming.answer import Reading
from headrace.server.streaming.turn import Turn
from headrace.server.structure import grammar_of

DEFAULT_TOKENS = 16  # OpenAI's
router = APIRouter(tags=["OpenAI"])


@router.post("/v1/completions", response_model=Completion, responses={200: STREAMED, **ERRORS})
async def completions(body: CompletionRequest, request: Request) -> Response:
    """Go on with a text."""
    engine = engine_of(request, body.model)
    told = body.logprobs is not None
    if told and body.echo:
        raise RequestError(
            "log-probabilities of the prompt are not supported",
            where="echo",
            hint="ask for echo or for logprobs",
        )
    prompts = await token_lists(engine.tokenizer, body.prompt)
    await log_prompts(request, engine, prompts)
    terms = Terms(
        max_tokens=body.max_tokens or DEFAULT_TOKENS,
        logprobs=body.logprobs,
        grammar=grammar_of(body, body.response_format),
        client=client_of(request),
        seconds=settings_of(request).request_timeout,
    )
    count = body.n or 1
    jobs = jobs_of(engine, body, prompts, count, terms)
    reading = Reading(
        text=engine.tokenizer.stream,
        reasoning=partial(ReasoningSplit, None),
        stops=stop_texts(body.stop),
    )
    turn = Turn(engine, jobs, reading, count=count, prefix="cmpl-")
    texts = await texts_of(engine.tokenizer, prompts) if body.echo else [""] * len(prompts)
    echoes = [text for text in texts for _ in range(count)]
    if not body.stream:
        return json_response(await completion.whole(turn, echoes, logprobs=told))
    usage = usage_told(body.stream_options)
    return event_stream(request, completion.events(turn, echoes, logprobs=told, usage=usage))
