"""SmolLM2 under schemas and with tools: what it writes is valid, whatever the seed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import jsonschema_rs
import numpy as np
import pytest

import headrace
from headrace.engine.choice.choice import Choice, Grammar, Reasoning
from headrace.engine.choice.chooser import Chooser
from headrace.engine.choice.grammars import Grammars
from headrace.engine.choice.tool_grammar import CallSyntax, Tool, tool_grammar
from headrace.runtime.schedule import Sampling, Schedule

pytestmark = pytest.mark.slow

NODE = {
    "type": "object",
    "properties": {
        "value": {"type": "integer"},
        "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
    },
    "required": ["value", "next"],
    "additionalProperties": False,
}
SCHEMAS: dict[str, dict[str, Any]] = {
    "person": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "age": {"type": "integer", "minimum": 0, "maximum": 130},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 20}, "maxItems": 3},
            "email": {"type": "string", "format": "email"},
        },
        "required": ["name", "age", "tags"],
        "additionalProperties": False,
    },
    "city": {
        "type": "object",
        "properties": {
            "city": {"enum": ["Paris", "Rome", "São Paulo"]},
            "people": {"type": "number", "exclusiveMinimum": 0},
            "large": {"type": "boolean"},
            "note": {"anyOf": [{"type": "string", "maxLength": 20}, {"type": "null"}]},
        },
        "required": ["city", "people", "large", "note"],
        "additionalProperties": False,
    },
    "list": {"$defs": {"node": NODE}, "$ref": "#/$defs/node"},
    "order": {
        "type": "object",
        "properties": {
            "when": {"type": "string", "format": "date-time"},
            "id": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
        },
        "required": ["when", "id"],
        "additionalProperties": False,
    },
}


@dataclass
class Answerer:
    """Answers of a model whose tokens the host chooses."""

    model: headrace.Model
    grammars: Grammars = field(init=False)

    def __post_init__(self) -> None:
        self.grammars = Grammars(self.model.tokenizer, self.model.vocabulary)

    def tokens(
        self, text: str, choice: Choice, sampling: Sampling, limit: int
    ) -> tuple[list[int], bool]:
        """The tokens of an answer without the stop token, and whether it has ended."""
        program, tokenizer = self.model.program, self.model.tokenizer
        prompt = tokenizer.encode_chat([{"role": "user", "content": text}])
        chooser = Chooser(choice, sampling, self.model.vocabulary, self.grammars, prompt)
        program.set_blocks(0, range(32))
        fed, position, tokens = np.array(prompt, np.int32), 0, list[int]()
        while len(tokens) < limit:
            program.submit(Schedule.of(fed, position, np.array([len(fed) - 1], np.int32)))
            program.wait()
            position += len(fed)
            chosen = chooser.choose(program.logits()[0], position - 1)
            if chosen.token in tokenizer.stop_ids:
                return tokens, True
            tokens.append(chosen.token)
            if chosen.finished:
                return tokens, True
            fed = np.array([chosen.token], np.int32)
        return tokens, False

    def text(self, text: str, grammar: Grammar, seed: int, limit: int = 250) -> str | None:
        """An answer that has ended; seed 0 is greedy."""
        sampling = Sampling(temperature=1.0 if seed else 0.0, seed=seed)
        tokens, ended = self.tokens(text, Choice(grammar=grammar), sampling, limit)
        return self.model.tokenizer.decode(tokens) if ended else None


@pytest.fixture(scope="module")
def answerer() -> Iterator[Answerer]:
    with headrace.load("smollm2", threads=2) as model:
        yield Answerer(model)


@pytest.mark.parametrize("name", SCHEMAS)
def test_json_under_a_schema_is_valid(answerer: Answerer, name: str) -> None:
    schema = SCHEMAS[name]
    grammar = Grammar("json_schema", json.dumps(schema))
    validator = jsonschema_rs.validator_for(schema)
    ended = 0
    for seed in range(25):
        answer = answerer.text(f"Give me a {name} in JSON.", grammar, seed)
        if answer is not None:
            ended += 1
            validator.validate(json.loads(answer))
    assert ended > (0 if name == "list" else 8)


def test_a_json_object_is_one(answerer: Answerer) -> None:
    answers = [
        answerer.text("Give me a person in JSON.", Grammar("json_object"), seed)
        for seed in range(15)
    ]
    ended = [answer for answer in answers if answer is not None]
    assert ended
    assert all(isinstance(json.loads(answer), dict) for answer in ended)


TOOLS = (
    Tool(
        "weather",
        {"properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"]},
    ),
    Tool(
        "add",
        {
            "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
            "required": ["x", "y"],
        },
    ),
)
SYNTAX = CallSyntax("<tool_call>\n", "\n</tool_call>", "\n")


@pytest.mark.parametrize("reasons", [False, True])
def test_calls_have_valid_arguments(answerer: Answerer, reasons: bool) -> None:
    grammar = tool_grammar(TOOLS, SYNTAX, answerer.model.tokenizer.specials, mode="required")
    if reasons:
        grammar = Grammar("lark", grammar.text, reasoning=Reasoning("<think>", "</think>"))
    ended = 0
    for seed in range(20):
        answer = answerer.text("What is the weather in Rome? What is 3 + 4?", grammar, seed)
        if answer is None:
            continue
        ended += 1
        calls = answer.split("</think>")[-1].split("<tool_call>\n")[1:]
        assert calls
        for call in calls:
            body, behind = call.split("\n</tool_call>")
            assert behind in ("", "\n")
            read = json.loads(body)
            (tool,) = (each for each in TOOLS if each.name == read["name"])
            jsonschema_rs.validate(dict(tool.parameters or {}), read["arguments"])
    assert reasons or ended > 5


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(1.0, seed=5),
        Sampling(0.7, top_p=0.9, seed=6),
        Sampling(1.2, top_k=40, top_p=0.95, min_p=0.02, seed=7),
    ],
    ids=str,
)
def test_a_choice_of_nothing_gives_the_native_tokens(
    answerer: Answerer, sampling: Sampling
) -> None:
    # A token differs where a random number falls within the rounding of a border: once in 1e6.
    text, limit = "Tell me about the sea.", 120
    prompt = answerer.model.tokenizer.encode_chat([{"role": "user", "content": text}])
    options = {
        name: getattr(sampling, name) for name in ("temperature", "top_k", "top_p", "min_p", "seed")
    }
    native = list(answerer.model.generate(prompt, max_tokens=limit, **options))
    tokens, _ = answerer.tokens(text, Choice(logprobs=0), sampling, limit)
    assert tokens == native


def test_penalties_keep_a_model_from_repeating(answerer: Answerer) -> None:
    text, sampling = "Write the word water many times.", Sampling()
    plain, _ = answerer.tokens(text, Choice(), sampling, 120)
    bent, _ = answerer.tokens(text, Choice(frequency_penalty=1.5), sampling, 120)
    assert len(set(bent)) / len(bent) > len(set(plain)) / len(plain)
    (banned,) = answerer.model.tokenizer.encode("The")
    without, _ = answerer.tokens(text, Choice(logit_bias={banned: -100.0}), sampling, 120)
    assert banned not in without
