"""Published templates, rendered as transformers renders them."""

from __future__ import annotations

from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from headrace.errors import TemplateError
from headrace.text import ChatTemplate
from tests.text.published_templates import PUBLISHED

SPECIALS = {"bos_token": "<s>", "eos_token": "</s>"}
ASK = [{"role": "user", "content": '  Why is <b>水</b> "wet"? 🎉 \n'}]
TALK = [
    {"role": "system", "content": "Be brief. /no_think"},
    *ASK,
    {"role": "assistant", "content": "<think>\nhm\n</think>\n\nIt's water.\n"},
    {"role": "user", "content": "And ice?"},
]
CALL = {
    "type": "function",
    "id": "abcdefghi",
    "function": {"name": "weather", "arguments": {"place": "Zürich", "days": [1, 2.5, None, True]}},
}
TOOLED = [
    *ASK,
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": '{"sky": "blue"}', "tool_call_id": "abcdefghi"},
    {"role": "assistant", "content": "Blue."},
    {"role": "user", "content": "Thanks"},
]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather at a place: a < b & 'ç'",
            "parameters": {
                "type": "object",
                "properties": {"place": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["place"],
            },
        },
    }
]
CONVERSATIONS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "ask": (ASK, {}),
    "talk": (TALK, {"add_generation_prompt": False}),
    "thinking": (TALK, {"enable_thinking": False, "thinking": True}),
    "tools": (ASK, {"tools": TOOLS}),
    "tooled": (TOOLED, {"tools": TOOLS}),
    "documents": (ASK, {"documents": [{"text": "one"}, {"text": "two"}]}),
    "two questions": (ASK + ASK, {}),
}


@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("name", PUBLISHED)
def test_as_transformers_renders(name: str, conversation: str) -> None:
    """The same text, or a refusal where transformers' template fails too."""
    messages, variables = CONVERSATIONS[conversation]
    variables = {"add_generation_prompt": True, **variables}
    ours = ChatTemplate(PUBLISHED[name], SPECIALS)
    try:
        wanted = render_jinja_template(
            [messages], chat_template=PUBLISHED[name], **variables, **SPECIALS
        )[0][0]
    except Exception:
        with pytest.raises(TemplateError):
            ours.render(messages, **variables)
        return
    assert ours.render(messages, **variables) == wanted
