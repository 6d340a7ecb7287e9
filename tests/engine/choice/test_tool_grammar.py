"""Answers that call tools: what each way to write calls takes, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headrace.engine.choice.choice import Grammar, Reasoning
from headrace.engine.choice.tool_grammar import CallSyntax, Mode, Tool, tool_grammar
from headrace.errors import RequestError
from tests.engine.choice.vocabulary import MARKER, follow, grammars, takes, tokenizer

TURN = Tool(
    "turn", {"type": "object", "properties": {"by": {"type": "integer"}}, "required": ["by"]}
)
SAY = Tool("say", {"properties": {"text": {"type": "string"}}, "required": ["text"]})
NODE: dict[str, Any] = {
    "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
    "type": "object",
    "properties": {"first": {"$ref": "#/$defs/node"}},
    "required": ["first"],
}
LIST = Tool("list", NODE)
ANY = Tool("any")
TOOLS = (TURN, SAY, LIST, ANY)

TAGS = CallSyntax("<tool_call>\n", "\n</tool_call>", "\n")
SPECIAL = CallSyntax(f"{MARKER}\n", "\n</call>", "\n")
NAMED = CallSyntax("<function={name}>", "</function>")
LISTED = CallSyntax(opening="[TOOL_CALLS]", is_list=True, arguments_key="parameters")
BARE = CallSyntax(arguments_key="parameters")
WRAPPED = CallSyntax("<c>{name}\n", "</c>", "\n", opening=f"{MARKER}\n", closing="\nend")
SYNTAXES = {
    "tags": TAGS,
    "special": SPECIAL,
    "named": NAMED,
    "listed": LISTED,
    "bare": BARE,
    "wrapped": WRAPPED,
}


def grammar(
    syntax: CallSyntax, mode: Mode = "auto", *tools: Tool, parallel: bool = True
) -> Grammar:
    return tool_grammar(tools or TOOLS, syntax, tokenizer().specials, mode=mode, parallel=parallel)


def calls(syntax: CallSyntax, *each: tuple[str, Any]) -> str:
    """Calls as a model writes them."""
    written = [_call(syntax, name, arguments) for name, arguments in each]
    if syntax.is_list:
        return f"{syntax.opening}[{', '.join(written)}]{syntax.closing}"
    return syntax.opening + syntax.separator.join(written) + syntax.closing


def _call(syntax: CallSyntax, name: str, arguments: Any) -> str:
    if "{name}" in syntax.begin:
        begin = syntax.begin.replace("{name}", name)
        return f"{begin}{json.dumps(arguments, ensure_ascii=False)}{syntax.end}"
    call = json.dumps({syntax.name_key: name, syntax.arguments_key: arguments}, ensure_ascii=False)
    return call if syntax.is_list else f"{syntax.begin}{call}{syntax.end}"


BY = ("turn", {"by": 3})
SAID = ("say", {"text": 'a "quoted" </tool_call> 水'})
NESTED = ("list", {"first": {"next": {"next": {}}}})
FREE = ("any", {"a": [1, {"b": None}]})
every_syntax = pytest.mark.parametrize("syntax", SYNTAXES.values(), ids=SYNTAXES)


@every_syntax
@pytest.mark.parametrize("mode", ["auto", "required"])
def test_calls_of_every_tool_are_taken(syntax: CallSyntax, mode: Mode) -> None:
    own = grammar(syntax, mode)
    for each in (BY, SAID, NESTED, FREE):
        assert takes(own, calls(syntax, each))
    assert takes(own, calls(syntax, BY, SAID))


@every_syntax
def test_text_is_taken_if_calls_are_not_required(syntax: CallSyntax) -> None:
    for text in ("Hello, 水!\n", ""):
        assert takes(grammar(syntax), text)
        assert not takes(grammar(syntax, "required"), text)
    if syntax != BARE:
        assert takes(grammar(syntax), "I turn it. " + calls(syntax, BY))


@every_syntax
@pytest.mark.parametrize("mode", ["auto", "required"])
def test_malformed_calls_are_refused(syntax: CallSyntax, mode: Mode) -> None:
    own = grammar(syntax, mode)
    for name, arguments in (
        ("turn", {"by": "3"}),
        ("turn", {}),
        ("turn", {"by": 3, "to": 1}),
        ("spin", {"by": 3}),
        ("say", {"by": 3}),
        ("list", {"first": {"next": 4}}),
        ("any", [1]),
    ):
        assert not takes(own, calls(syntax, (name, arguments)))
    assert not takes(own, calls(syntax, BY)[:-1])


@every_syntax
def test_nothing_follows_the_calls(syntax: CallSyntax) -> None:
    written = calls(syntax, BY)
    _, left = follow(grammar(syntax), f"{written} and")
    assert left.endswith("and")
    alone = grammar(syntax, parallel=False)
    assert follow(alone, written)[0].finished
    assert not takes(alone, calls(syntax, BY, SAID))


@every_syntax
def test_one_tool_alone_is_the_named_one(syntax: CallSyntax) -> None:
    own = grammar(syntax, "required", SAY)
    assert takes(own, calls(syntax, SAID))
    assert not takes(own, calls(syntax, BY))


@pytest.mark.parametrize("end", ["</think>", MARKER])
def test_reasoning_comes_first(end: str) -> None:
    plain = grammar(TAGS)
    for opened in (False, True):
        reasoning = Reasoning("<think>\n", f"\n{end}", opened)
        own = Grammar("lark", plain.text, reasoning=reasoning)
        begin = "" if opened else "<think>\n"
        for answer in ("Hello", calls(TAGS, BY)):
            assert takes(own, f"{begin}I <tool_call> muse\n{end}\n\n{answer}")
        assert not takes(own, f"{begin}I muse")
        assert not takes(own, f"{begin}I muse{end}<tool_call>x")
    schema = Grammar("json_schema", '{"type": "integer"}', reasoning=Reasoning("", end, True))
    assert takes(schema, f"hm{end}\n12")
    assert not takes(schema, f"hm{end}\ntwelve")


def test_a_malformed_schema_is_named() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(80):
        deep = {"items": deep}
    with pytest.raises(RequestError) as caught:
        grammar(TAGS, "auto", Tool("f", deep, where="tools[0].function.parameters"))
    assert str(caught.value.where).startswith("tools[0].function.parameters#/items/items")
    with pytest.raises(RequestError, match="no tool"):
        tool_grammar([], TAGS, {})


def test_what_cannot_be_enforced_is_an_error_where_the_tool_is_strict() -> None:
    schema = {"type": "object", "properties": {"a": {"not": {"type": "null"}}}}
    grammars().compile(grammar(TAGS, "auto", Tool("f", schema)))
    with pytest.raises(RequestError, match="not"):
        grammars().compile(grammar(TAGS, "auto", Tool("f", schema, strict=True)))


def test_arguments_have_no_names_but_the_schema_s() -> None:
    more = {"properties": {"by": {}}, "allOf": [{"properties": {"to": {}}}]}
    for schema, taken in ((TURN.parameters, False), (more, True)):
        own = grammar(TAGS, "required", Tool("turn", schema))
        assert takes(own, calls(TAGS, ("turn", {"by": 1, "to": 2}))) == taken
