"""JSON schemas as requests bring them: read with bounds, so that none can hang the compiler."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, cast

from headrace.errors import RequestError

#: Levels of a schema, objects and lists counted.
DEEPEST = 64
#: Objects, lists and values in a schema.
MOST_NODES = 20_000
#: Properties of one object: each next token looks at all that may follow.
MOST_PROPERTIES = 500
#: Characters of a text that an answer may have to spell: each token is compared with all of it.
LONGEST_TEXT = 4096
#: A multiple of N takes N states, and several take their least common multiple.
LARGEST_MULTIPLE = 10_000

#: Formats that llguidance enforces; JSON Schema says that others are notes to the reader.
FORMATS = frozenset(
    ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri")
)
#: Keywords whose values are data, not schemas.
_DATA = frozenset(("const", "enum", "default", "examples"))
#: Keywords whose values are for the reader.
_NOTES = frozenset(("title", "description", "$comment", "default", "examples"))
#: Keywords that say what a whole schema is.
_IDENTITY = frozenset(("$schema", "$id"))
#: Keywords whose values are schemas under names.
_NAMED = frozenset(("properties", "patternProperties", "$defs", "definitions"))

Schema = dict[str, Any]


def read_schema(text: str) -> Schema:
    """A JSON schema from its text, as `checked_schema` gives it.

    Raises:
        RequestError: it is no JSON object, or too large; `where` is its place (a JSON pointer).
    """
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the schema is not valid JSON: {error}", where="schema") from error
    return checked_schema(value)


def checked_schema(value: object, where: str = "schema") -> Schema:
    """A schema without formats that are notes only.

    where: what errors call it.

    Raises: as `read_schema`.
    """
    if value is True:
        value = {}
    if not isinstance(value, dict):
        raise RequestError("a schema is a JSON object", where=where)
    schema = cast("Schema", value)
    multiple = 1
    for nodes, (node, path) in enumerate(_walk(schema, ())):
        if len(path) > DEEPEST:
            raise RequestError(
                f"the schema is more than {DEEPEST} levels deep", where=at(path, where)
            )
        if nodes >= MOST_NODES:
            raise RequestError(
                f"the schema has more than {MOST_NODES} values", where=at(path, where)
            )
        if isinstance(node, str):
            _check_text(node, path, where)
        elif isinstance(node, dict):
            inner = cast("Schema", node)
            _check_properties(inner, path, where)
            multiple = _multiple(inner, multiple, path, where)
    return cast("Schema", _without_notes(schema))


def at(path: tuple[str, ...], where: str = "schema") -> str:
    """A place in a schema: a JSON pointer (RFC 6901)."""
    keys = (key.replace("~", "~0").replace("/", "~1") for key in path)
    return f"{where}#" + "".join(f"/{key}" for key in keys)


def moved(schema: Schema, pointer: str) -> Schema:
    """A schema that has become a part of another one: its references start at `pointer` there."""
    kept = {key: value for key, value in schema.items() if key not in _IDENTITY}
    return cast("Schema", _moved(kept, pointer))


def _moved(node: object, pointer: str) -> object:
    if isinstance(node, list):
        return [_moved(each, pointer) for each in cast("list[object]", node)]
    if not isinstance(node, dict):
        return node
    result: Schema = {}
    for key, value in cast("Schema", node).items():
        if key == "$ref" and isinstance(value, str) and value.startswith("#"):
            result[key] = f"#{pointer}{value[1:]}"
        else:
            result[key] = value if key in _DATA else _moved(value, pointer)
    return result


def _walk(value: object, path: tuple[str, ...]) -> Iterator[tuple[object, tuple[str, ...]]]:
    """All values, each before those in it; without recursion, and no deeper than the bound."""
    left: list[tuple[object, tuple[str, ...]]] = [(value, path)]
    while left:
        node, here = left.pop()
        yield node, here
        if isinstance(node, dict):
            left += [(each, (*here, key)) for key, each in cast("Schema", node).items()]
        elif isinstance(node, list):
            members = enumerate(cast("list[object]", node))
            left += [(each, (*here, str(index))) for index, each in members]


def _check_text(text: str, path: tuple[str, ...], where: str) -> None:
    if len(text) > LONGEST_TEXT and not _NOTES.intersection(path[-2:]):
        raise RequestError(
            f"a text has {len(text)} characters; at most {LONGEST_TEXT} are taken",
            where=at(path, where),
        )


def _check_properties(node: Schema, path: tuple[str, ...], where: str) -> None:
    properties: object = node.get("properties")
    if isinstance(properties, dict) and len(cast("Schema", properties)) > MOST_PROPERTIES:
        raise RequestError(
            f"an object has {len(cast('Schema', properties))} properties; "
            f"at most {MOST_PROPERTIES} are taken",
            where=at((*path, "properties"), where),
        )


def _multiple(node: Schema, multiple: int, path: tuple[str, ...], where: str) -> int:
    value: object = node.get("multipleOf")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return multiple
    digits = int("".join(map(str, Decimal(str(value)).normalize().as_tuple().digits)))
    multiple = math.lcm(multiple, max(digits, 1))
    if multiple > LARGEST_MULTIPLE:
        raise RequestError(
            f"the multiples of this schema come together in {multiple} states; "
            f"at most {LARGEST_MULTIPLE} are taken",
            where=at((*path, "multipleOf"), where),
        )
    return multiple


def _without_notes(node: object) -> object:
    """A schema, or a list of such, without formats that nothing enforces."""
    if isinstance(node, list):
        return [_without_notes(each) for each in cast("list[object]", node)]
    if not isinstance(node, dict):
        return node
    return {
        key: _kept(key, each)
        for key, each in cast("Schema", node).items()
        if not (key == "format" and isinstance(each, str) and each not in FORMATS)
    }


def _kept(key: str, value: object) -> object:
    if key in _DATA:
        return value
    if key in _NAMED and isinstance(value, dict):
        return {name: _without_notes(each) for name, each in cast("Schema", value).items()}
    return _without_notes(value)
