"""Tools for models whose template knows none: described in the form that Hermes models learnt."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

INTRODUCTION = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{tools}
</tools>

For each function call, return a json object with function name and arguments within \
<tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""


def described(tools: Sequence[dict[str, Any]]) -> str:
    """What the system message says about tools."""
    return INTRODUCTION.format(tools="\n".join(map(_json, tools)))


def call_text(name: str, arguments: object) -> str:
    """A call as the model would have written it."""
    return f"<tool_call>\n{_json({'name': name, 'arguments': arguments})}\n</tool_call>"


def result_text(content: str) -> str:
    """A tool's result, in a message of the user's."""
    return f"<tool_response>\n{content}\n</tool_response>"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
