"""Ask over HTTP, and what of an answer must be the same whenever it is asked for."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from tests.server.soak.requests import CHAT, EMBEDDINGS, RESPONSES, Asked

SECONDS = 120


def ask(url: str, asked: Asked, *, stream: bool) -> tuple[int, Any]:
    """The status, and what of the answer repeats: the same for a stream as for a whole answer."""
    connection = sent(url, asked, stream=stream)
    try:
        reply = connection.getresponse()
        body = reply.read()
    finally:
        connection.close()
    if reply.status != 200:
        return reply.status, json.loads(body)["error"]["message"]
    if stream:
        return 200, _of_stream(asked.path, body)
    return 200, _of_whole(asked.path, json.loads(body))


def leave(url: str, asked: Asked, *, stream: bool, bytes_read: int) -> None:
    """Ask, and go away before the answer has come, or in the middle of it."""
    connection = sent(url, asked, stream=stream)
    if stream:
        connection.getresponse().read(bytes_read)
    connection.close()


def sent(url: str, asked: Asked, *, stream: bool) -> http.client.HTTPConnection:
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=SECONDS)
    body = asked.body
    if not isinstance(body, bytes):
        body = json.dumps({**body, "stream": True} if stream else body).encode()
    connection.request("POST", asked.path, body, {"Content-Type": "application/json"})
    return connection


def _of_whole(path: str, answer: Any) -> Any:
    if path == EMBEDDINGS:
        return [each["embedding"] for each in answer["data"]]
    if path == RESPONSES:
        return _of_response(answer)
    return [_of_choice(path, choice) for choice in answer["choices"]]


def _of_response(answer: Any) -> Any:
    texts = [part["text"] for item in answer["output"] for part in item["content"]]
    return answer["status"], texts, answer["usage"]["output_tokens"]


def _of_choice(path: str, choice: Any) -> Any:
    if path != CHAT:
        return choice["text"], choice["finish_reason"], _logprobs(path, [choice])
    message = choice["message"]
    calls = [each["function"] for each in _values([message], "tool_calls")]
    called = [(each["name"], each["arguments"]) for each in calls]
    return message["content"] or "", called, choice["finish_reason"], _logprobs(path, [choice])


def _of_stream(path: str, body: bytes) -> Any:
    data = [line[6:] for line in body.decode().splitlines() if line.startswith("data: ")]
    if path == RESPONSES:
        return _of_response(json.loads(data[-1])["response"])
    assert data.pop() == "[DONE]"
    chunks: dict[int, list[Any]] = {}
    for event in map(json.loads, data):
        for choice in event["choices"]:
            chunks.setdefault(choice["index"], []).append(choice)
    return [_of_chunks(path, chunks[index]) for index in sorted(chunks)]


def _of_chunks(path: str, chunks: list[Any]) -> Any:
    finish = chunks[-1]["finish_reason"]
    if path != CHAT:
        return "".join(each["text"] for each in chunks), finish, _logprobs(path, chunks)
    deltas = [each["delta"] for each in chunks]
    text = "".join(each.get("content") or "" for each in deltas)
    return text, _called(deltas), finish, _logprobs(path, chunks)


def _called(deltas: list[Any]) -> list[tuple[str, str]]:
    called: dict[int, tuple[str, str]] = {}
    for part in _values(deltas, "tool_calls"):
        name, arguments = called.get(part["index"], ("", ""))
        function: dict[str, str | None] = part["function"]
        name += function.get("name") or ""
        called[part["index"]] = name, arguments + (function.get("arguments") or "")
    return [called[index] for index in sorted(called)]


def _logprobs(path: str, choices: list[Any]) -> list[Any]:
    """Token by token: what was chosen, its log-probability and the others'."""
    told = [each["logprobs"] for each in choices if each.get("logprobs")]
    if path == CHAT:
        return _values(told, "content")
    fields = ("tokens", "token_logprobs", "top_logprobs", "text_offset")
    return [_values(told, field) for field in fields]


def _values(parts: list[Any], field: str) -> list[Any]:
    """The lists of a field, one after the other."""
    lists: list[list[Any]] = [part.get(field) or [] for part in parts]
    return [value for each in lists for value in each]
