"""What form an answer must have: OpenAI's `response_format`, and vLLM's extensions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag

from headrace.server.protocol.base import Body, Name, Plain, Text

Expression = Annotated[str, StringConstraints(min_length=1, max_length=1 << 16)]
Choices = Annotated[list[Expression], Field(min_length=1, max_length=1024)]


class JsonSchema(Body):
    """A schema by name. Answers follow it; `strict` refuses keywords that cannot be enforced."""

    name: Name
    description: Text | None = None
    schema_: Annotated[Plain, Field(alias="schema")]
    strict: bool | None = None


class TextFormat(Body):
    type: Literal["text"]


class JsonObjectFormat(Body):
    type: Literal["json_object"]


class JsonSchemaFormat(Body):
    type: Literal["json_schema"]
    json_schema: JsonSchema


ResponseFormat = Annotated[
    TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")
]


def _shape(value: object) -> str:
    return "text" if isinstance(value, str) else "object"


SchemaOrText = Annotated[
    Annotated[Expression, Tag("text")] | Annotated[Plain, Tag("object")], Discriminator(_shape)
]


class StructuredOutputs(Body):
    """vLLM's extension; one of these. `grammar` is Lark's form as llguidance reads it."""

    json_: Annotated[SchemaOrText | None, Field(alias="json")] = None
    regex: Expression | None = None
    choice: Choices | None = None
    grammar: Expression | None = None
    json_object: bool | None = None


class Guided(Body):
    """Extensions of every request that generates text; `guided_*` are vLLM's older names."""

    structured_outputs: StructuredOutputs | None = None
    guided_json: SchemaOrText | None = None
    guided_regex: Expression | None = None
    guided_choice: Choices | None = None
    guided_grammar: Expression | None = None
