"""`/v1/chat/completions`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from headrace.errors import RequestError
from headrace.server.chat.conversation import Conversation, effort_variables, prompt_of
from headrace.server.chat.use import tool_use
from headrace.server.protocol.chat import ChatCompletion, ChatRequest, usage_told
from headrace.server.protocol.sampling import stop_texts
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
from headrace.server.streaming import chat
from headrace.server.streaming.turn import Turn
from headrace.server.structure import grammar_of

router = APIRouter(tags=["OpenAI"])


@router.post(
    "/v1/chat/completions",
    response_model=ChatCompletion,
    responses={200: STREAMED, **ERRORS},
)
async def chat_completions(body: ChatRequest, request: Request) -> Response:
    """Answer a conversation."""
    engine = engine_of(request, body.model)
    logprobs = _logprobs(body)
    prompt = await prompt_of(engine.tokenizer, conversation_of(body))
    await log_prompts(request, engine, [prompt.tokens])
    terms = Terms(
        max_tokens=body.max_completion_tokens or body.max_tokens,
        logprobs=logprobs,
        grammar=prompt.grammar,
        client=client_of(request),
        seconds=settings_of(request).request_timeout,
    )
    count = body.n or 1
    jobs = jobs_of(engine, body, [prompt.tokens], count, terms)
    turn = Turn(
        engine,
        jobs,
        prompt.reading,
        count=count,
        prefix="chatcmpl-",
        reasons=prompt.form.reasoning is not None,
    )
    told = logprobs is not None
    if not body.stream:
        return json_response(await chat.whole(turn, logprobs=told))
    usage = usage_told(body.stream_options)
    return event_stream(request, chat.events(turn, logprobs=told, usage=usage))


def conversation_of(body: ChatRequest) -> Conversation:
    """What a chat request asks."""
    parallel = body.parallel_tool_calls is not False
    return Conversation(
        messages=body.messages,
        use=tool_use(body.tools or (), body.tool_choice, parallel=parallel),
        grammar=grammar_of(body, body.response_format),
        variables=_variables(body),
        stops=stop_texts(body.stop),
    )


def _variables(body: ChatRequest) -> dict[str, Any]:
    """Of the template: what the request gives it, and how hard to think."""
    return {**effort_variables(body.reasoning_effort), **(body.chat_template_kwargs or {})}


def _logprobs(body: ChatRequest) -> int | None:
    if body.top_logprobs and not body.logprobs:
        raise RequestError(
            "top_logprobs needs logprobs", where="top_logprobs", hint='add "logprobs": true'
        )
    return (body.top_logprobs or 0) if body.logprobs else None
