"""Chat templates: as transformers renders them, and what a hostile one cannot do."""

from __future__ import annotations

import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import TemplateError
from headrace.text import ChatTemplate, Tokenizer
from headrace.text.render_process import RenderProcess
from tests.text.vocabularies import CHATML, byte_level_metadata, sentencepiece_metadata

SPECIALS = {"bos_token": "<s>", "eos_token": "</s>"}
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": ' Why <b>is</b> "水" wet? '},
    {"role": "assistant", "content": "<think>\nhm\n</think>\n\nIt is water.\n"},
    {"role": "user", "content": "\tAnd ice?"},
]
TOOLS = [{"type": "function", "function": {"name": "f", "description": "a < b & 'ç'"}}]
TEMPLATES = {
    "chatml": CHATML,
    "gemma": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}
{%- set first = messages[0]['content'] | trim + '\n\n' -%}{%- set rest = messages[1:] -%}
{% endif %}
{% for message in rest -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("roles must alternate") }}
    {%- endif -%}
    {{ '<start_of_turn>' + message['role'] + '\n' + (first if loop.first else "") }}
    {{- message['content'] | trim }}<end_of_turn>
{% endfor %}
{% if add_generation_prompt %}<start_of_turn>model
{% endif %}""",
    "thinking": """{%- set ns = namespace(last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- if ns.last and message.role == "user" and message.content is string %}
        {%- set ns.last = messages|length - 1 - loop.index0 %}{% break %}
    {%- endif %}
{%- endfor %}
{%- for m in messages %}
    {%- set text = m.content %}
    {%- if '</think>' in text %}
        {%- set text = text.split('</think>')[-1].lstrip('\n') %}
    {%- endif %}
    {{- m.role.upper() ~ ':' ~ text.strip() ~ ('!' if text.endswith('?') else '') + '\n' }}
{%- endfor %}
{%- if enable_thinking is defined and enable_thinking is false %}{{ '<think></think>' }}{% endif %}
last {{ ns.last }}
""",
    "tools": """{% if tools is iterable and tools | length > 0 %}{{ tools | tojson }}
{{ tools[0] | tojson(indent=2) }}{% else %}none{% endif %}
{% macro show(m, mark='-') %}
{{ mark }} {{ m.get('content', '') | replace('\t', ' ') }}{% endmacro %}
{% for m in messages %}{{ show(m) }}{% for key, value in m.items() %}[{{ key }}]{% endfor %}
    {% if not loop.last %},{% endif %}{% endfor %}
""",
    "generation": """{% for m in messages %}{% generation %}{{ m.content }}{%- endgeneration -%}
 x
{% endfor %}""",
}


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize(
    "variables", [{}, {"tools": TOOLS}, {"add_generation_prompt": False, "enable_thinking": False}]
)
def test_templates_render_as_in_transformers(name: str, variables: dict[str, Any]) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    given = {"add_generation_prompt": True, **variables}
    source = TEMPLATES[name]
    wanted = render_jinja_template([CHAT], chat_template=source, **given, **SPECIALS)[0][0]
    assert ChatTemplate(source, SPECIALS).render(CHAT, **given) == wanted


@given(st.lists(st.fixed_dictionaries({"role": st.text(), "content": st.text()}), max_size=4))
def test_any_text_passes_through(messages: list[dict[str, str]]) -> None:
    rendered = ChatTemplate(CHATML, {}).render(messages, add_generation_prompt=False)
    wanted = [f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages]
    assert rendered == "".join(wanted)


def test_a_conversation_becomes_tokens_with_its_special_tokens() -> None:
    tokenizer = Tokenizer.from_gguf(byte_level_metadata())
    ids = tokenizer.encode_chat([{"role": "user", "content": "hi"}])
    assert ids[0] == 1
    assert ids.count(2) == 1
    text = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.decode(ids, special=True) == text


def test_a_template_can_refuse_and_the_reason_is_told() -> None:
    source = "{% if true %}\n{{ raise_exception('no system role') }}{% endif %}"
    with pytest.raises(TemplateError, match="no system role"):
        ChatTemplate(source, {}).render(CHAT)


def test_no_template_says_what_to_do() -> None:
    tokenizer = Tokenizer.from_gguf(sentencepiece_metadata())
    assert not tokenizer.has_chat_template
    with pytest.raises(TemplateError, match="no chat template") as caught:
        tokenizer.encode_chat(CHAT)
    assert "--raw" in str(caught.value)


HUGE = "range(100000)"
DOUBLE = (
    "{{% set n = namespace(s={start}) %}}"
    "{{% for i in range({times}) %}}{{% set n.s = {twice} %}}{{% endfor %}}"
)
HOSTILE = {
    "endless loop": f"{{% for a in {HUGE} %}}{{% for b in {HUGE} %}}x{{% endfor %}}{{% endfor %}}",
    "endless recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "huge range": "{{ range(10000000000) | list }}",
    "huge text": "{{ 'x' * 4611686018427387904 }}",
    "class of a text": "{{ ''.__class__.__mro__ }}",
    "class of a dict": "{{ messages[0].__class__.__base__ }}",
    "globals of a function": "{{ raise_exception.__globals__['json'] }}",
    "globals of a filter": "{{ strftime_now.__globals__.json.codecs }}",
    "a file": "{% include '/etc/passwd' %}",
    "an import": "{% import 'os' as os %}{{ os.name }}",
    "no such filter": "{{ 'a' | nothing }}",
    "a syntax error": "{% for",
    "a value too many": "{{ missing.field }}",
    "a text doubled": DOUBLE.format(start="'x'", times=60, twice="n.s ~ n.s"),
    "much text": DOUBLE.format(start="'x'", times=26, twice="n.s + n.s") + "{{ n.s }}",
    "one text for two": DOUBLE.format(start="'x'", times=60, twice="n.s | replace('x', 'xx')"),
    "wide JSON": "{{ range(100000) | list | tojson(indent=100000) }}",
    "deep JSON": DOUBLE.format(start="[]", times=5000, twice="[n.s]") + "{{ n.s | tojson }}",
    "a class, not written": "{% set x = ''.__class__ %}",
    "a class by its key": "{{ ''['__class__'] }}",
    "a class by the filter": "{{ '' | attr('__class__') }}",
    "a private attribute": "{% if messages._data is defined %}{% endif %}",
}


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_or_broken_template_is_an_error(source: str) -> None:
    with pytest.raises(TemplateError):
        ChatTemplate(source, {}).render(CHAT)


def test_text_that_looks_private_is_text() -> None:
    source = "x._y {# x.__class__ #}{{ 'a.__class__._b' }}"
    assert ChatTemplate(source, {}).render(CHAT) == "x._y a.__class__._b"


def test_a_process_that_takes_too_long_is_replaced() -> None:
    process = RenderProcess(seconds=0.5)
    slow = request(DOUBLE.format(start="[1]", times=60, twice="n.s + n.s") + "{{ n.s | length }}")
    with pytest.raises(TemplateError, match=r"more than 0\.5 seconds"):
        process.ask(slow)
    assert process.ask(request("{{ 1 }}"))["text"] == "1"
    process.close()


def test_memory_is_bounded_and_the_next_template_renders() -> None:
    process = RenderProcess(memory=128 << 20)
    source = DOUBLE.format(start="'x'", times=60, twice="n.s ~ n.s")
    with pytest.raises(TemplateError, match="more than 128 MB of memory"):
        process.ask(request(source))
    assert process.ask(request("{{ 2 }}"))["text"] == "2"
    process.close()


def test_many_threads_share_one_process() -> None:
    process = RenderProcess()
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda n: process.ask(request(f"{{{{ {n} }}}}")), range(40)))
    assert [reply["text"] for reply in replies] == [str(n) for n in range(40)]
    process.close()


def test_a_process_that_somebody_ended_is_replaced() -> None:
    process = RenderProcess()
    assert process.ask(request("{{ 3 }}"))["text"] == "3"
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    time.sleep(0.2)
    assert process.ask(request("{{ 4 }}"))["text"] == "4"
    process.close()


def test_a_process_that_cannot_be_started_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(TemplateError, match="cannot be started"):
        RenderProcess().ask(request("x"))


def request(source: str) -> dict[str, Any]:
    return {"source": source, "values": {}, "fuel": 10**7, "longest": 10**6}


def test_a_template_cannot_change_the_messages() -> None:
    messages = [{"role": "user", "content": "hi"}]
    ChatTemplate("{{ messages.append(1) }}{{ messages[0].update({'content': ''}) }}", {}).render(
        messages
    )
    assert messages == [{"role": "user", "content": "hi"}]


def test_messages_must_be_plain_data() -> None:
    with pytest.raises(TemplateError, match="plain data"):
        ChatTemplate(CHATML, {}).render([{"role": "user", "content": object()}])
