"""Answers of a running server, where no client library looks."""

from __future__ import annotations

import base64
import json
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from headrace.server.protocol.chat import ChatCompletion
from tests.build.cached import RANDOM, shared_cache
from tests.server.raw import ask, connect, request
from tests.server.running import Server, serving

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}},
            "required": ["city"],
        },
    },
}


def chat(server: Server, content: str = "Say hello.", **options: object) -> dict[str, Any]:
    messages = [{"role": "user", "content": content}]
    body = {"model": server.model, "messages": messages, "temperature": 0, "max_tokens": 16}
    reply = ask(server.url, "POST", "/v1/chat/completions", {**body, **options})
    assert reply.status == 200, reply.body
    ChatCompletion.model_validate_json(reply.body)
    return reply.json()


def chunks(server: Server, **options: object) -> list[dict[str, Any]]:
    """The chunks of a stream."""
    messages = [{"role": "user", "content": "Say hello."}]
    body = {"model": server.model, "messages": messages, "temperature": 0, "max_tokens": 16}
    whole = {**body, "stream": True, **options}
    reply = ask(server.url, "POST", "/v1/chat/completions", whole)
    assert reply.headers["content-type"].startswith("text/event-stream")
    lines = [line[6:] for line in reply.body.split(b"\n") if line.startswith(b"data: ")]
    assert lines[-1].strip() == b"[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def texts(stream: list[dict[str, Any]]) -> dict[int, str]:
    found: dict[int, str] = {}
    for choice in (choice for chunk in stream for choice in chunk["choices"]):
        text = choice["delta"].get("content") or ""
        found[choice["index"]] = found.get(choice["index"], "") + text
    return found


def test_choices_have_a_job_each_and_share_their_prompt(server: Server) -> None:
    content = "Count: " + " ".join(map(str, range(100)))
    answer = chat(server, content, n=3, temperature=1, seed=7, ignore_eos=True)
    assert [each["index"] for each in answer["choices"]] == [0, 1, 2]
    assert len({each["message"]["content"] for each in answer["choices"]}) == 3
    assert answer["usage"]["completion_tokens"] == 3 * 16
    alone = chat(server, content, temperature=1, seed=8, ignore_eos=True)
    assert alone["choices"][0]["message"] == answer["choices"][1]["message"]


def test_streamed_choices_are_the_same(server: Server) -> None:
    whole = chat(server, n=2, temperature=1, seed=3)
    expected = {each["index"]: each["message"]["content"] for each in whole["choices"]}
    stream = chunks(server, n=2, temperature=1, seed=3)
    assert texts(stream) == expected
    ends = [choice["finish_reason"] for chunk in stream for choice in chunk["choices"]]
    assert sum(each is not None for each in ends) == 2


def test_what_it_took_is_told(server: Server) -> None:
    timings = chat(server, ignore_eos=True)["timings"]
    assert timings["prefill_ms"] > 0
    assert timings["decode_ms"] > 0
    rate = 1000 * 15 / timings["decode_ms"]
    assert timings["predicted_per_second"] == pytest.approx(rate, rel=0.01)
    [last] = [chunk for chunk in chunks(server) if "timings" in chunk]
    assert last["choices"][0]["finish_reason"] is not None


def test_a_stop_string_ends_the_job_and_tells_what_it_took(server: Server) -> None:
    full = chat(server, ignore_eos=True, max_tokens=60)["choices"][0]["message"]["content"]
    stop = full[10:13]
    answer = chat(server, ignore_eos=True, max_tokens=60, stop=[stop])
    assert answer["choices"][0]["message"]["content"] == full[: full.index(stop)]
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert 0 < answer["usage"]["completion_tokens"] < 20
    assert answer["timings"]["prefill_ms"] > 0
    streamed = texts(chunks(server, ignore_eos=True, max_tokens=60, stop=[stop]))
    assert streamed == {0: full[: full.index(stop)]}


def test_tools_may_be_left_alone_and_text_still_streams(server: Server) -> None:
    plain = chat(server, tools=[WEATHER], tool_choice="none")
    assert plain["choices"][0]["message"]["content"]
    free = chat(server, tools=[WEATHER], max_tokens=48)["choices"][0]
    assert free["message"]["content"] or free["message"]["tool_calls"]


def test_a_form_and_tools_give_one_or_the_other(server: Server) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
    closed = {**schema, "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": closed}}
    choice = chat(server, tools=[WEATHER], response_format=form, max_tokens=96)["choices"][0]
    if choice["finish_reason"] == "tool_calls":
        arguments = choice["message"]["tool_calls"][0]["function"]["arguments"]
        assert set(json.loads(arguments)) == {"city"}
    else:
        assert set(json.loads(choice["message"]["content"])) == {"a"}


def test_several_calls_only_where_they_are_wanted(server: Server) -> None:
    options = {"tools": [WEATHER], "tool_choice": "required", "max_tokens": 256}
    [choice] = chat(server, parallel_tool_calls=False, **options)["choices"]
    [call] = choice["message"]["tool_calls"]
    assert set(json.loads(call["function"]["arguments"])) == {"city"}


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_away_ends_its_job(server: Server, stream: bool) -> None:
    messages = [{"role": "user", "content": "Tell me a story."}]
    body = {"model": server.model, "messages": messages, "ignore_eos": True, "stream": stream}
    with connect(server.url) as connection:
        connection.sendall(request("POST", "/v1/chat/completions", body))
        _wait_for(server, running=1)
    _wait_for(server, running=0)


def _wait_for(server: Server, running: int) -> None:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        lines = ask(server.url, "GET", "/metrics").body.decode().splitlines()
        found = [line for line in lines if line.startswith("vllm:num_requests_running{")]
        if sum(float(line.rsplit(" ", 1)[1]) for line in found) == running:
            return
        time.sleep(0.02)
    raise AssertionError(f"there are not {running} requests running")


def test_tokens_and_back(server: Server) -> None:
    text = "Grüße, <|im_end|> 水!"
    made = ask(server.url, "POST", "/tokenize", {"prompt": text, "return_token_strs": True}).json()
    assert made["count"] == len(made["tokens"]) == len(made["token_strs"])
    assert made["max_model_len"] == 8192
    back = ask(server.url, "POST", "/detokenize", {"tokens": made["tokens"]}).json()
    assert back == {"prompt": text, "content": text}
    assert (
        ask(server.url, "POST", "/tokenize", {"content": text}).json()["tokens"] == made["tokens"]
    )


def test_tokens_of_a_conversation_are_those_that_are_computed(server: Server) -> None:
    messages = [{"role": "user", "content": "Say hello."}]
    made = ask(server.url, "POST", "/tokenize", {"messages": messages}).json()
    assert made["count"] == chat(server)["usage"]["prompt_tokens"]


def test_a_completion_of_tokens_with_its_prompt(server: Server) -> None:
    tokens = ask(server.url, "POST", "/tokenize", {"prompt": "The sea is"}).json()["tokens"]
    body = {"model": server.model, "prompt": tokens, "temperature": 0, "max_tokens": 4}
    plain = ask(server.url, "POST", "/v1/completions", body).json()["choices"][0]["text"]
    echoed = ask(server.url, "POST", "/v1/completions", {**body, "echo": True}).json()
    assert echoed["choices"][0]["text"] == "The sea is" + plain


def test_embeddings_in_base64_are_the_same_numbers(server: Server) -> None:
    body = {"model": server.model, "input": "water"}
    plain = ask(server.url, "POST", "/v1/embeddings", body).json()["data"][0]["embedding"]
    reply = ask(server.url, "POST", "/v1/embeddings", {**body, "encoding_format": "base64"})
    packed = base64.b64decode(reply.json()["data"][0]["embedding"])
    assert struct.unpack(f"<{len(plain)}f", packed) == pytest.approx(plain, abs=1e-7)
    assert sum(each * each for each in plain) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/chat/completions", {"stop_token_ids": [10**6]}, "stop_token_ids"),
        ("/v1/chat/completions", {"logit_bias": {"1000000": 1}}, "logit_bias[1000000]"),
        ("/v1/chat/completions", {"tool_choice": "required"}, "tool_choice"),
        ("/v1/chat/completions", {"top_logprobs": 2}, "top_logprobs"),
        ("/v1/completions", {"prompt": [10**6]}, "prompt"),
        ("/v1/completions", {"prompt": ""}, "prompt"),
        ("/v1/completions", {"prompt": "a", "echo": True, "logprobs": 1}, "echo"),
        ("/v1/responses", {"input": "a", "previous_response_id": "x"}, "previous_response_id"),
        ("/v1/embeddings", {"input": ""}, "input[0]"),
        ("/tokenize", {}, "prompt"),
    ],
    ids=str,
)
def test_what_cannot_be_answered_names_its_field(
    server: Server, path: str, body: dict[str, Any], param: str
) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    base = (
        {"model": server.model, "messages": messages} if path.endswith("chat/completions") else {}
    )
    reply = ask(server.url, "POST", path, {"model": server.model, **base, **body})
    assert reply.status == 400, reply.body
    assert reply.json()["error"]["param"] == param
    assert reply.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.slow
def test_prompts_are_logged_where_that_is_asked_for(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = tmp_path / "log"
    with shared_cache(tmp_path_factory), serving(log, f"tiny={RANDOM}", "--log-prompts") as tiny:
        body = {"model": "tiny", "prompt": "very private", "max_tokens": 1}
        ask(tiny.url, "POST", "/v1/completions", body)
    assert "event=prompt" in log.read_text()
    assert 'text="very private"' in log.read_text()
