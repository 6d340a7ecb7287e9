"""The functions and shapes that the clients' tests ask for."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

QUESTION = "What is the weather in Paris?"
WEATHER = "Sunny, 21 degrees"


class Weather(BaseModel):
    """The weather in a city."""

    city: Literal["Paris", "Rome", "Oslo"]
    days: Annotated[int, Field(ge=1, le=7)]


class Person(BaseModel):
    """Bounded, so that a small model comes to an end."""

    name: Annotated[str, Field(max_length=20)]
    age: Annotated[int, Field(ge=0, le=120)]
    likes: Annotated[list[Literal["red", "green", "blue"]], Field(max_length=3)]


TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather in a city.",
        "parameters": Weather.model_json_schema(),
    },
}
CLOCK: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_time",
        "description": "Tell the time.",
        "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
    },
}


def get_weather(city: str, days: int = 1) -> str:
    """Tell the weather in a city."""
    return f"{WEATHER} in {city} for {days} days"
