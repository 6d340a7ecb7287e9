"""`/tokenize` and `/detokenize`."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from headrace.errors import RequestError
from headrace.server.chat.conversation import Conversation, prompt_of
from headrace.server.chat.use import tool_use
from headrace.server.link.client import EngineClient
from headrace.server.protocol.tokens import (
    Detokenized,
    DetokenizeRequest,
    Tokenized,
    TokenizeRequest,
)
from headrace.server.routes.serving import ERRORS, engine_or_only, json_response
from headrace.text import Tokenizer

router = APIRouter(tags=["tokens"])


@router.post("/tokenize", response_model=Tokenized, responses=ERRORS)
async def tokenize(body: TokenizeRequest, request: Request) -> Response:
    """The tokens of a text or a conversation."""
    engine = engine_or_only(request, body.model)
    tokens = await _tokens(engine.tokenizer, body)
    return json_response(
        await asyncio.to_thread(_told, engine, tokens, texts=bool(body.return_token_strs))
    )


@router.post("/detokenize", response_model=Detokenized, responses=ERRORS)
async def detokenize(body: DetokenizeRequest, request: Request) -> dict[str, Any]:
    """The text of tokens, special ones included."""
    engine = engine_or_only(request, body.model)
    text = await asyncio.to_thread(engine.tokenizer.decode, body.tokens, special=True)
    return {"prompt": text, "content": text}


def _told(engine: EngineClient, tokens: list[int], *, texts: bool) -> bytes:
    """The answer; made beside the event loop, as a long text has millions of tokens."""
    told: dict[str, Any] = {
        "count": len(tokens),
        "max_model_len": engine.context,
        "tokens": tokens,
    }
    if texts:
        spelt = map(engine.tokenizer.token_bytes, tokens)
        told["token_strs"] = [each.decode(errors="replace") for each in spelt]
    return msgspec.json.encode(told)


async def _tokens(tokenizer: Tokenizer, body: TokenizeRequest) -> list[int]:
    given = [each for each in (body.prompt, body.content, body.messages) if each is not None]
    if len(given) != 1:
        raise RequestError(
            "give a text or a conversation, and one of them only",
            where="prompt",
            hint="prompt, content or messages",
        )
    if body.messages is None:
        bos = None if body.add_special_tokens is not False else False
        text = body.prompt if body.prompt is not None else body.content or ""
        return await asyncio.to_thread(tokenizer.encode, text, bos=bos)
    variables = dict(body.chat_template_kwargs or {})
    if body.add_generation_prompt is not None:
        variables["add_generation_prompt"] = body.add_generation_prompt
    use = tool_use(body.tools or (), None, parallel=True)
    conversation = Conversation(body.messages, use, variables=variables)
    return (await prompt_of(tokenizer, conversation)).tokens
