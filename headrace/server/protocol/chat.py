"""`/v1/chat/completions`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from headrace.server.protocol.base import (
    MOST_CHOICES,
    MOST_LOGPROBS,
    Body,
    Plain,
    Refused,
    Shown,
    refuse,
)
from headrace.server.protocol.messages import Messages
from headrace.server.protocol.sampling import Drawn, Limit, Stop
from headrace.server.protocol.structure import Guided, ResponseFormat
from headrace.server.protocol.tools import ToolChoice, Tools
from headrace.server.protocol.usage import Timings, Usage, UsageTold

UNSUPPORTED = (
    Refused("functions", "functions are OpenAI's older form of tools, and not supported"),
    Refused("function_call", "function_call is OpenAI's older form of tool_choice"),
    Refused("audio", "answers in audio are not supported"),
    Refused("modalities", "answers are text only", (["text"], [])),
    Refused("web_search_options", "the server has no web search"),
    Refused("use_beam_search", "beam search is not supported"),
    Refused("best_of", "best_of is not supported: every choice is returned", (1,)),
    Refused("min_tokens", "a least number of tokens is not supported", (0,)),
    Refused("bad_words", "bad words are not supported"),
    Refused("prompt_logprobs", "log-probabilities of the prompt are not supported", (False,)),
    Refused("truncate_prompt_tokens", "prompts are never truncated"),
    Refused("continue_final_message", "going on with the last message is not supported"),
    Refused("add_generation_prompt", "an answer is always the assistant's turn", (True,)),
    Refused("echo", "echo is for /v1/completions only"),
    Refused("documents", "documents are not supported: write them into a message"),
    Refused("chat_template", "the template is the model's own"),
    Refused("grammar", "GBNF is not supported: structured_outputs.grammar takes Lark"),
    Refused("json_schema", "a schema goes into response_format"),
)


class StreamOptions(Body):
    """`continuous_usage_stats` is vLLM's extension: with include_usage, each chunk has usage."""

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None
    include_obfuscation: bool | None = None


def usage_told(options: StreamOptions | None) -> UsageTold:
    """Which chunks tell usage."""
    if options is None or not options.include_usage:
        return "never"
    return "each" if options.continuous_usage_stats else "last"


class ChatRequest(Drawn, Guided):
    """A conversation to answer.

    Without max_tokens the answer may fill the context. `chat_template_kwargs` are variables of the
    model's chat template, such as enable_thinking.
    """

    messages: Messages
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] | None = None
    stop: Stop | None = None
    max_tokens: Limit | None = None
    max_completion_tokens: Limit | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MOST_LOGPROBS)] | None = None
    tools: Tools | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: Annotated[str, StringConstraints(max_length=32)] | None = None
    chat_template_kwargs: Plain | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, data: object) -> object:
        return refuse(data, UNSUPPORTED)


class TopToken(Shown):
    token: str
    logprob: float
    bytes: list[int]


class ChosenToken(TopToken):
    top_logprobs: list[TopToken]


class ChatLogprobs(Shown):
    content: list[ChosenToken]
    refusal: None = None


class CalledFunctionShown(Shown):
    name: str
    arguments: str


class ToolCallShown(Shown):
    id: str
    type: Literal["function"]
    function: CalledFunctionShown


class Answer(Shown):
    role: Literal["assistant"]
    content: str | None
    refusal: None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCallShown] | None = None


class ChatChoice(Shown):
    index: int
    message: Answer
    logprobs: ChatLogprobs | None
    finish_reason: Literal["stop", "length", "tool_calls"]


class ChatCompletion(Shown):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    timings: Timings
