"""`/v1/embeddings`."""

from __future__ import annotations

import asyncio
import struct
from base64 import b64encode
from collections.abc import Sequence

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from headrace.server.link.client import EngineClient
from headrace.server.protocol.embeddings import EmbeddingRequest, Embeddings
from headrace.server.routes.fitting import require_fitting
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
        require_fitting(engine, tokens, "text", f"input[{at}]")
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


def _packed(vector: Sequence[float]) -> str:
    """The numbers' float32 bytes, little-endian, in base64."""
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
