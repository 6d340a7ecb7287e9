"""`/v1/responses`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from headrace.engine.choice.choice import Grammar
from headrace.server.chat.conversation import Conversation, effort_variables, prompt_of
from headrace.server.chat.items import messages_of
from headrace.server.chat.use import tool_use
from headrace.server.protocol.responses import NamedTool, ResponsesRequest, SchemaFormat
from headrace.server.protocol.responses_answer import ResponseShown
from headrace.server.protocol.structure import JsonObjectFormat
from headrace.server.protocol.tools import ChosenFunction, ChosenTool, Function, Tool
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
from headrace.server.streaming import response
from headrace.server.streaming.turn import Turn
from headrace.server.structure import json_schema

LOGPROBS = "message.output_text.logprobs"
router = APIRouter(tags=["OpenAI"])


@router.post("/v1/responses", response_model=ResponseShown, responses={200: STREAMED, **ERRORS})
async def responses(body: ResponsesRequest, request: Request) -> Response:
    """Answer a conversation; nothing of it is kept."""
    engine = engine_of(request, body.model)
    prompt = await prompt_of(engine.tokenizer, _conversation(body))
    await log_prompts(request, engine, [prompt.tokens])
    told = body.top_logprobs is not None or LOGPROBS in (body.include or ())
    terms = Terms(
        max_tokens=body.max_output_tokens,
        logprobs=(body.top_logprobs or 0) if told else None,
        grammar=prompt.grammar,
        client=client_of(request),
        seconds=settings_of(request).request_timeout,
    )
    jobs = jobs_of(engine, body, [prompt.tokens], 1, terms)
    turn = Turn(engine, jobs, prompt.reading, count=1, prefix="resp_", reasons=True)
    if not body.stream:
        return json_response(await response.whole(turn, _repeated(body)))
    return event_stream(request, response.events(turn, _repeated(body)))


def _conversation(body: ResponsesRequest) -> Conversation:
    tools = [_tool(each.model_dump(exclude={"type"})) for each in body.tools or ()]
    choice = body.tool_choice
    if isinstance(choice, NamedTool):
        choice = ChosenTool(type="function", function=ChosenFunction(name=choice.name))
    return Conversation(
        messages=messages_of(body.input, body.instructions),
        use=tool_use(tools, choice, parallel=body.parallel_tool_calls is not False),
        grammar=_grammar(body),
        variables=_variables(body),
    )


def _tool(function: dict[str, Any]) -> Tool:
    return Tool(type="function", function=Function(**function))


def _grammar(body: ResponsesRequest) -> Grammar | None:
    form = None if body.text is None else body.text.format
    if isinstance(form, SchemaFormat):
        return json_schema(form.schema_, strict=bool(form.strict))
    return Grammar("json_object") if isinstance(form, JsonObjectFormat) else None


def _variables(body: ResponsesRequest) -> dict[str, Any]:
    effort = None if body.reasoning is None else body.reasoning.effort
    return {**effort_variables(effort), **(body.chat_template_kwargs or {})}


def _repeated(body: ResponsesRequest) -> dict[str, Any]:
    """Fields of the request that the answer repeats."""
    given: dict[str, Any] = body.model_dump(mode="json", by_alias=True)
    text: dict[str, Any] = given["text"] or {}
    reasoning: dict[str, Any] = given["reasoning"] or {}
    return {
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "metadata": body.metadata or {},
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "reasoning": {"effort": reasoning.get("effort"), "summary": None},
        "temperature": 1.0 if body.temperature is None else body.temperature,
        "text": {"format": text.get("format") or {"type": "text"}},
        "tool_choice": given["tool_choice"] or "auto",
        "tools": given["tools"] or [],
        "top_logprobs": body.top_logprobs or 0,
        "top_p": 1.0 if body.top_p is None else body.top_p,
        "user": body.user,
    }
