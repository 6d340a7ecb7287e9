"""`/v1/embeddings`."""

from __future__ import annotations

import asyncio
import struct
from base64 import b64encode
from collections.abc import Sequence

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from headrace.errors import ContextLengthError, RequestError
from headrace.server.link.client import EngineClient
from headrace.server.protocol.embeddings import EmbeddingRequest, Embeddings
from headrace.server.routes.serving import ERRORS, engine_of, json_response, log_prompts
from headrace.server.routes.texts import token_lists

router = APIRouter(tags=["OpenAI"])


@router.post("/v1/embeddings", response_model=Embeddings, responses=ERRORS)
async def embeddings(body: EmbeddingRequest, request: Request) -> Response:
    """Vectors of texts."""
    engine = engine_of(request, body.model)
    inputs = await token_lists(engine.tokenizer, body.input)
    await log_prompts(request, engine, inputs)
    for at, tokens in enumerate(inputs):
        _check(engine, tokens, f"input[{at}]")
    return json_response(await _whole(engine, inputs, base64=body.encoding_format == "base64"))


async def _whole(engine: EngineClient, inputs: Sequence[list[int]], *, base64: bool) -> bytes:
    vectors = await asyncio.gather(*(engine.embed(each) for each in inputs))
    count = sum(map(len, inputs))
    return msgspec.json.encode(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": at, "embedding": _packed(each) if base64 else each}
                for at, each in enumerate(vectors)
            ],
            "model": engine.name,
            "usage": {"prompt_tokens": count, "total_tokens": count},
        }
    )


def _check(engine: EngineClient, tokens: Sequence[int], where: str) -> None:
    if not tokens:
        raise RequestError("a text without tokens has no embedding", where=where)
    if len(tokens) > engine.context:
        raise ContextLengthError(
            f"the text has {len(tokens)} tokens and the context holds {engine.context}",
            where=where,
            hint="shorten it: headrace never cuts one by itself",
        )
    if max(tokens) >= engine.vocabulary:
        raise RequestError(
            f"{max(tokens)} is not a token: they go from 0 to {engine.vocabulary - 1}", where=where
        )


def _packed(vector: Sequence[float]) -> str:
    """The numbers' float32 bytes, little-endian, in base64."""
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
