"""What form an answer must have, as a grammar for constrained decoding."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from headrace.engine.choice.choice import Grammar
from headrace.errors import RequestError
from headrace.server.protocol.structure import (
    Guided,
    JsonObjectFormat,
    JsonSchemaFormat,
    ResponseFormat,
    StructuredOutputs,
)

Given = TypeVar("Given")


def grammar_of(request: Guided, form: ResponseFormat | None) -> Grammar | None:
    """The grammar that a request asks for, if it asks for one.

    Raises:
        RequestError: it asks for two.
    """
    asked = [*_by_format(form), *_by_extension(request)]
    if len(asked) > 1:
        raise RequestError(
            "the request asks for two forms of the answer",
            where="response_format" if form is not None else "structured_outputs",
            hint="leave one out",
        )
    return asked[0] if asked else None


def _by_format(form: ResponseFormat | None) -> list[Grammar]:
    if isinstance(form, JsonSchemaFormat):
        schema = form.json_schema
        return [json_schema(schema.schema_, strict=bool(schema.strict))]
    return [Grammar("json_object")] if isinstance(form, JsonObjectFormat) else []


def _by_extension(request: Guided) -> list[Grammar]:
    wanted = request.structured_outputs or StructuredOutputs()
    choices = _given(wanted.choice, request.guided_choice)
    return [
        *map(json_schema, _given(wanted.json_, request.guided_json)),
        *(Grammar("regex", each) for each in _given(wanted.regex, request.guided_regex)),
        *(Grammar("lark", _one_of(each)) for each in choices),
        *(Grammar("lark", each) for each in _given(wanted.grammar, request.guided_grammar)),
        *([Grammar("json_object")] if wanted.json_object else []),
    ]


def _given(*values: Given | None) -> list[Given]:
    return [each for each in values if each is not None]


def json_schema(schema: dict[str, Any] | str, *, strict: bool = False) -> Grammar:
    """The grammar of a JSON schema, given as an object or as its text.

    Args:
        strict: whether a keyword that cannot be enforced is an error, or passed over.
    """
    text = schema if isinstance(schema, str) else json.dumps(schema, ensure_ascii=False)
    return Grammar("json_schema", text, strict)


def _one_of(texts: Sequence[str]) -> str:
    return "start: " + " | ".join(json.dumps(each, ensure_ascii=False) for each in texts)
