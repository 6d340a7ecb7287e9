"""Chat through OpenAI's own client."""

from __future__ import annotations

import asyncio
import math

import pytest
from openai import AsyncOpenAI, OpenAI

from tests.server.running import Server

SKY = [{"role": "user", "content": "Why is the sky blue?"}]
PROMPTS = ["Name a colour.", "Count to five.", "What is a river?", "Say hello."]


@pytest.fixture(scope="module")
def answer(client: OpenAI, server: Server) -> str:
    """What the model says about the sky, with nothing left to chance."""
    return text(client, server, SKY)


def text(client: OpenAI, server: Server, messages: object, **more: object) -> str:
    options = {"temperature": 0, "max_completion_tokens": 24, **more}
    reply = client.chat.completions.create(model=server.model, messages=messages, **options)
    return reply.choices[0].message.content


def test_an_answer(client: OpenAI, server: Server) -> None:
    reply = client.chat.completions.create(
        model=server.model, messages=SKY, max_completion_tokens=8, temperature=0
    )
    [choice] = reply.choices
    assert reply.object == "chat.completion"
    assert reply.model == server.model
    assert choice.message.role == "assistant"
    assert choice.message.content
    assert choice.finish_reason == "length"
    assert reply.usage.completion_tokens == 8
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + 8


def test_a_prompt_seen_before_is_cached(client: OpenAI, server: Server) -> None:
    long = [{"role": "user", "content": "Tell me about rivers and lakes. " * 20}]
    for _ in range(2):
        reply = client.chat.completions.create(
            model=server.model, messages=long, max_completion_tokens=1
        )
    assert 0 < reply.usage.prompt_tokens_details.cached_tokens < reply.usage.prompt_tokens


def test_streaming_says_the_same(client: OpenAI, server: Server, answer: str) -> None:
    stream = client.chat.completions.create(
        model=server.model,
        messages=SKY,
        temperature=0,
        max_completion_tokens=24,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == answer
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 24
    assert all(c.usage is None for c in chunks[:-1])
    assert len({c.id for c in chunks}) == 1


def test_each_chunk_tells_usage_where_asked(client: OpenAI, server: Server) -> None:
    stream = client.chat.completions.create(
        model=server.model,
        messages=SKY,
        max_completion_tokens=12,
        stream=True,
        stream_options={"include_usage": True, "continuous_usage_stats": True},
    )
    counts = [chunk.usage.completion_tokens for chunk in stream]
    assert counts == sorted(counts)
    assert counts[-1] == 12


def test_the_stream_helper(client: OpenAI, server: Server, answer: str) -> None:
    # Without the stop it would raise at the limit of tokens, as it does for every server.
    stop = answer[len(answer) // 2 :]
    with client.chat.completions.stream(
        model=server.model, messages=SKY, temperature=0, max_tokens=24, stop=stop
    ) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion().choices[0]
    assert final.finish_reason == "stop"
    assert final.message.content == answer.removesuffix(stop)
    assert "".join(deltas) == final.message.content


def test_many_at_once_say_what_each_says_alone(client: OpenAI, server: Server) -> None:
    conversations = [[{"role": "user", "content": prompt}] for prompt in PROMPTS]

    async def ask(own: AsyncOpenAI, messages: object) -> str:
        reply = await own.chat.completions.create(
            model=server.model, messages=messages, temperature=0, max_completion_tokens=16
        )
        return reply.choices[0].message.content

    async def together() -> list[str]:
        async with AsyncOpenAI(base_url=server.api, api_key="none", max_retries=0) as own:
            return await asyncio.gather(*(ask(own, each) for each in conversations))

    alone = [text(client, server, each, max_completion_tokens=16) for each in conversations]
    assert asyncio.run(together()) == alone


def test_async_streaming(server: Server, answer: str) -> None:
    async def stream() -> str:
        async with AsyncOpenAI(base_url=server.api, api_key="none", max_retries=0) as own:
            chunks = await own.chat.completions.create(
                model=server.model, messages=SKY, temperature=0, max_tokens=24, stream=True
            )
            return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])

    assert asyncio.run(stream()) == answer


def test_stop_strings_end_an_answer_across_tokens(
    client: OpenAI, server: Server, answer: str
) -> None:
    middle = len(answer) // 2
    stop = answer[middle - 2 : middle + 3]
    expected = answer[: answer.index(stop)]
    assert text(client, server, SKY, stop=[stop, "never said"]) == expected


def test_a_seed_repeats_its_answers(client: OpenAI, server: Server) -> None:
    def three() -> list[str]:
        reply = client.chat.completions.create(
            model=server.model, messages=SKY, n=3, seed=7, temperature=1.5, max_tokens=12
        )
        assert [choice.index for choice in reply.choices] == [0, 1, 2]
        return [choice.message.content for choice in reply.choices]

    first = three()
    assert len(set(first)) > 1
    assert three() == first


def test_logprobs(client: OpenAI, server: Server, answer: str) -> None:
    reply = client.chat.completions.create(
        model=server.model,
        messages=SKY,
        temperature=0,
        max_completion_tokens=24,
        logprobs=True,
        top_logprobs=3,
    )
    tokens = reply.choices[0].logprobs.content
    assert reply.choices[0].message.content == answer
    assert b"".join(bytes(each.bytes) for each in tokens).decode() == answer
    for each in tokens:
        assert len(each.top_logprobs) == 3
        assert each.top_logprobs[0].logprob == each.logprob
        assert sum(math.exp(other.logprob) for other in each.top_logprobs) <= 1.001


def test_a_biased_token_is_never_chosen(client: OpenAI, server: Server, answer: str) -> None:
    body = {"model": server.model, "prompt": answer, "add_special_tokens": False}
    first = client.post("/../tokenize", cast_to=object, body=body)["tokens"][0]
    assert text(client, server, SKY, logit_bias={str(first): -100})[:4] != answer[:4]
