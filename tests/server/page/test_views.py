"""What the page makes of a model's text, in a real browser."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.page.browser import Visit

pytestmark = pytest.mark.slow

CASES = {
    "one\ntwo\n\nthree": "<p>one\ntwo</p><p>three</p>",
    "## A *b* `c*d*`": "<h3>A <em>b</em> <code>c*d*</code></h3>",
    "**a *b* c** 2 * 3 * 4": "<p><strong>a <em>b</em> c</strong> 2 * 3 * 4</p>",
    "- a\n- b\n  - c\n\n1. d": (
        "<ul><li><p>a</p></li><li><p>b</p><ul><li><p>c</p></li></ul></li></ul>"
        '<ol start="1"><li><p>d</p></li></ol>'
    ),
    "> a\n> b": "<blockquote><p>a\nb</p></blockquote>",
    "[a](https://a.example/b)": (
        '<p><a href="https://a.example/b" target="_blank" rel="noopener noreferrer">a</a></p>'
    ),
    "[a](javascript:alert(1))": "<p>[a](javascript:alert(1))</p>",
    "<img src=x onerror=alert(1)>": "<p>&lt;img src=x onerror=alert(1)&gt;</p>",
    "<script>alert(1)</script>": "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>",
}
SHOW = """async (text) => {
    const { show } = await import("/page/markdown.js");
    const place = document.createElement("div");
    for (let end = 1; end <= text.length; end++) show(place, text.slice(0, end));
    return place.innerHTML;
}"""
NOTE = """async (chunks) => {
    const { Answer } = await import("/page/turns.js");
    const answer = new Answer();
    for (const delta of chunks) answer.note({ choices: [{ delta }] });
    answer.end();
    answer.askForResults((results) => (window.results = results));
    return answer.message;
}"""


@pytest.mark.parametrize("text", CASES)
def test_markdown_as_it_arrives(visited: Visit, text: str) -> None:
    assert visited.page.evaluate(SHOW, text) == CASES[text]


def test_a_block_of_code(visited: Visit) -> None:
    shown = visited.page.evaluate(SHOW, "```python\nif a < b:\n\n    c()\n```\nafter")
    assert "<span>python</span>" in shown
    assert '<pre tabindex="0"><code>if a &lt; b:\n\n    c()</code></pre></div><p>after</p>' in shown


def test_a_long_line_of_marks_takes_no_time(visited: Visit) -> None:
    time = """async (text) => {
        const { show } = await import("/page/markdown.js");
        const start = performance.now();
        show(document.createElement("div"), text);
        return performance.now() - start;
    }"""
    for hostile in ("*" * 20_000, "[" * 20_000, "`" * 20_000, "**a " * 5_000, "> " * 400):
        assert visited.page.evaluate(time, hostile) < 1000


def test_reasoning_is_folded_and_calls_are_shown(visited: Visit) -> None:
    call: dict[str, Any] = {"index": 0, "id": "call-1", "function": {"name": "get_weather"}}
    chunks = [
        {"reasoning_content": "I should "},
        {"reasoning_content": "ask."},
        {"tool_calls": [{**call, "function": {"name": "get_weather", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city": '}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"Paris"}'}}]},
    ]
    message = visited.page.evaluate(NOTE, chunks)
    made = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    assert message["tool_calls"] == [{"id": "call-1", "type": "function", "function": made}]
    assert not visited.page.locator("article .thoughts div").is_visible()
    visited.page.click("article .thoughts summary")
    assert visited.page.inner_text("article .thoughts div") == "I should ask."
    assert "get_weather" in visited.page.inner_text("article .call")
    visited.page.fill("article .results textarea", "Sunny")
    visited.page.click("article .results button")
    result = {"role": "tool", "tool_call_id": "call-1", "content": "Sunny"}
    assert visited.page.evaluate("window.results") == [result]
