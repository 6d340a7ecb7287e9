"""Random requests of all kinds, from a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.server.clients.tools import CLOCK, QUESTION, TOOL, Person

CHAT, TEXT, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
EMBEDDINGS = "/v1/embeddings"
WORDS = (
    *("river", "stone", "the", "a", "of", "engine", "slowly", "bright", "water", "and", "under"),
    *("over", "seven", "mill", "turn", "wheel", "light", "because", "while", "people", "never"),
    *("small", "green", "house", "42", "cold,", "north.", "said;", "open", "(then)", "way\n"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request and the status that its answer must have.

    Attributes:
        body: JSON, or bytes that are sent as they are.
        repeats: whether every answer to it is the same.
    """

    kind: str
    path: str
    body: dict[str, Any] | bytes
    status: int = 200
    repeats: bool = True

    @property
    def streams(self) -> bool:
        """Whether it may be asked as a stream as well."""
        return self.status == 200 and self.path != EMBEDDINGS


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Draws requests to one model whose context has so many tokens."""

    model: str
    context: int
    random: Random

    def draw(self, count: int) -> list[Asked]:
        """Some of each kind, if there are as many as kinds."""
        kinds = (
            *(self._chat, self._completion, self._choices, self._logprobs, self._schema),
            *(self._tool, self._responses, self._embedding, self._stops, self._penalties),
            *(self._unseeded, self._too_long, self._malformed, self._wrong),
        )
        return [_named(kinds[each % len(kinds)]) for each in range(count)]

    def _chat(self) -> Asked:
        return self._chatting(**self._sampling())

    def _completion(self) -> Asked:
        return self._going_on(**self._sampling())

    def _choices(self) -> Asked:
        drawn = {"temperature": 0.9, "seed": self.random.randrange(1 << 40)}
        return self._going_on(n=self.random.randint(2, 4), max_tokens=24, **drawn)

    def _logprobs(self) -> Asked:
        if self.random.random() < 0.5:
            return self._chatting(logprobs=True, top_logprobs=self.random.randint(0, 5))
        return self._going_on(logprobs=self.random.randint(0, 5), **self._sampling())

    def _schema(self) -> Asked:
        schema = {"name": "person", "schema": Person.model_json_schema(), "strict": False}
        form = {"type": "json_schema", "json_schema": schema}
        return self._chatting(response_format=form, max_tokens=96, **self._sampling())

    def _tool(self) -> Asked:
        named = {"type": "function", "function": {"name": "get_weather"}}
        choice = self.random.choice(["required", "none", named])
        asked = [self._said(), {"role": "user", "content": QUESTION}]
        return self._chatting(
            messages=asked, tools=[TOOL, CLOCK], tool_choice=choice, **self._sampling()
        )

    def _responses(self) -> Asked:
        body = {"model": self.model, "input": self._words(40), "instructions": self._shared()}
        return Asked(
            "", RESPONSES, {**body, "max_output_tokens": self._length(), **self._sampling()}
        )

    def _embedding(self) -> Asked:
        inputs = [self._words(60) for _ in range(self.random.randint(1, 4))]
        return Asked("", EMBEDDINGS, {"model": self.model, "input": inputs})

    def _stops(self) -> Asked:
        stops = self.random.sample([" the", ".", "\n", "and ", "ing ", "er the"], 2)
        return self._going_on(stop=stops, **self._sampling())

    def _penalties(self) -> Asked:
        bias = {str(self.random.randrange(1000)): -100, str(self.random.randrange(1000)): 2.5}
        return self._chatting(frequency_penalty=0.7, presence_penalty=0.3, logit_bias=bias)

    def _unseeded(self) -> Asked:
        asked = self._going_on(temperature=1.0)
        return Asked("", asked.path, asked.body, repeats=False)

    def _too_long(self) -> Asked:
        asked = self._going_on(prompt=self._words(3, 3) * self.context)
        return Asked("", asked.path, asked.body, 400)

    def _malformed(self) -> Asked:
        body = self.random.choice([b"{", b"", b'{"model": "smollm2", "prompt": "\xff"}', b"[1, 2]"])
        return Asked("", self.random.choice([CHAT, TEXT, RESPONSES]), body, 400)

    def _wrong(self) -> Asked:
        wrong: list[tuple[dict[str, Any], int]] = [
            ({"model": "nobody"}, 404),
            ({"n": 1 << 20}, 400),
            ({"temperature": "hot"}, 400),
            ({"prompt": {"a": 1}}, 400),
            ({"guided_regex": "("}, 400),
        ]
        fields, status = self.random.choice(wrong)
        return Asked("", TEXT, {**self._fields(), "prompt": "A", **fields}, status)

    def _chatting(self, **more: Any) -> Asked:
        messages = [{"role": "system", "content": self._shared()}, self._said()]
        return Asked("", CHAT, {**self._fields(), "messages": messages, **more})

    def _going_on(self, **more: Any) -> Asked:
        prompt = f"{self._shared()} {self._words(60)}"
        return Asked("", TEXT, {**self._fields(), "prompt": prompt, **more})

    def _fields(self) -> dict[str, Any]:
        return {"model": self.model, "max_tokens": self._length(), "temperature": 0}

    def _sampling(self) -> dict[str, Any]:
        if self.random.random() < 0.5:
            return {"temperature": 0}
        seed = self.random.randrange(1 << 40)
        return {"temperature": self.random.uniform(0.3, 1.2), "top_p": 0.9, "seed": seed}

    def _said(self) -> dict[str, Any]:
        return {"role": "user", "content": self._words(80)}

    def _shared(self) -> str:
        """One of few beginnings: their keys and values are found in the prefix cache."""
        return " ".join(Random(self.random.randrange(4)).choices(WORDS, k=100))

    def _words(self, most: int, least: int = 1) -> str:
        return " ".join(self.random.choices(WORDS, k=self.random.randint(least, most)))

    def _length(self) -> int:
        return min(self.random.randint(1, 64), self.random.randint(1, 160))


def _named(draw: Callable[[], Asked]) -> Asked:
    asked = draw()
    kind = draw.__name__.strip("_")
    return Asked(kind, asked.path, asked.body, asked.status, asked.repeats)
