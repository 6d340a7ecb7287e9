"""What all bodies of requests have in common: strict types, bounds, unknown fields.

A field that no model here names is ignored, as OpenAI's clients expect: they send fields of other
services along. A field that would change the answer and that headrace has nothing for is named,
and refused (`refuse`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from headrace.errors import RequestError

LONGEST_TEXT = 16 << 20
LONGEST_NAME = 256
MOST_CHOICES = 16
MOST_LOGPROBS = 20
MOST_STOPS = 16
LONGEST_STOP = 1024
MOST_MESSAGES = 16384
MOST_TOOLS = 128
MOST_PARTS = 4096
MOST_INPUTS = 256
MOST_TOKENS = 1 << 20
DEEPEST = 48
INT32 = 1 << 31
INT63 = (1 << 63) - 1


class Body(BaseModel):
    """A part of a request; numbers are not read out of strings."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class Shown(BaseModel):
    """A part of an answer, as the OpenAPI document describes it."""

    model_config = ConfigDict(extra="allow")


@dataclass(frozen=True, slots=True)
class Refused:
    """A field that would change the answer, and that headrace has nothing for.

    Attributes:
        harmless: values that ask for nothing; null is always one.
    """

    field: str
    reason: str
    harmless: tuple[object, ...] = (False, "", [], {})


def refuse(data: object, fields: Sequence[Refused]) -> object:
    """The body as it came, if none of these fields is used; for validators that run before.

    Raises:
        RequestError: one is.
    """
    if not isinstance(data, dict):
        return data
    body = cast("dict[str, object]", data)
    for each in fields:
        value = body.get(each.field)
        if value is not None and value not in each.harmless:
            raise RequestError(each.reason, where=each.field, hint=f"leave out {each.field}")
    return body


def _shallow(value: dict[str, Any]) -> dict[str, Any]:
    level: list[object] = [value]
    for _ in range(DEEPEST):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return value
    raise PydanticCustomError(
        "too_deep", "it is nested more than {most} levels deep", {"most": DEEPEST}
    )


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(cast("dict[str, object]", value).values())
    return cast("list[object]", value) if isinstance(value, list) else []


Name = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_NAME)]
Text = Annotated[str, StringConstraints(max_length=LONGEST_TEXT)]
TokenId = Annotated[int, Field(ge=0, lt=INT32)]
TokenIds = Annotated[list[TokenId], Field(min_length=1, max_length=MOST_TOKENS)]
#: A JSON object of the user's own: a schema, a template's variables.
Plain = Annotated[dict[str, Any], Field(max_length=1024), AfterValidator(_shallow)]
