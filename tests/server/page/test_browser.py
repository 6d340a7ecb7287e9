"""The page in a real browser, with the real server behind it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server.page.browser import Visit, visit
from tests.server.running import Server, serving

pytestmark = pytest.mark.slow

SKY = "Why is the sky blue?"
LONG = "Write a very long story about a river, with many chapters."


def limit(visited: Visit, tokens: int) -> None:
    visited.page.click("#settings summary")
    visited.page.fill("#max-tokens", str(tokens))
    visited.page.fill("#temperature", "0")
    visited.page.click("#settings summary")


def wait_for_letters(visited: Visit, count: int) -> None:
    long = re.compile(f".{{{count}}}", re.DOTALL)
    visited.page.locator(".assistant > .text", has_text=long).wait_for()


def answer(visited: Visit) -> str:
    return visited.page.inner_text("article.assistant:last-child > .text")


def test_an_answer_comes_piece_by_piece(visited: Visit, server: Server) -> None:
    limit(visited, 120)
    visited.page.evaluate(
        """() => {
            window.lengths = new Set();
            const note = () => lengths.add(document.getElementById("turns").textContent.length);
            new MutationObserver(note).observe(document.getElementById("turns"),
                { childList: true, subtree: true, characterData: true });
        }"""
    )
    visited.ask(SKY)
    visited.wait_for("Answered")
    assert visited.page.evaluate("lengths.size") > 10
    reply = httpx.post(
        f"{server.api}/chat/completions",
        json={
            "model": server.model,
            "messages": [{"role": "user", "content": SKY}],
            "temperature": 0,
            "top_p": 0.95,
            "max_tokens": 120,
        },
        timeout=60,
    ).json()
    words = reply["choices"][0]["message"]["content"].split()
    assert re.findall(r"\w+", answer(visited)) == re.findall(r"\w+", " ".join(words))
    assert re.fullmatch(r"\d+ tokens/s · \d+ % of roofline", visited.page.inner_text("#speed"))


def test_stop_ends_the_answer_here_and_in_the_engine(visited: Visit, server: Server) -> None:
    visited.ask(LONG)
    wait_for_letters(visited, 100)
    assert visited.page.locator("#send").is_hidden()
    visited.page.click("#stop")
    visited.wait_for("Stopped")
    assert answer(visited)
    assert visited.page.locator(".note", has_text="Stopped.").is_visible()
    visited.page.wait_for_timeout(300)
    running = re.search(r"^vllm:num_requests_running\S* (\S+)$", metrics(server), re.MULTILINE)
    assert running
    assert float(running[1]) == 0
    limit(visited, 8)
    visited.ask(SKY)
    visited.wait_for("Answered")


def metrics(server: Server) -> str:
    return httpx.get(f"{server.url}/metrics").text


def test_escape_stops(visited: Visit) -> None:
    visited.ask(LONG)
    wait_for_letters(visited, 10)
    visited.page.keyboard.press("Escape")
    visited.wait_for("Stopped")


def test_nothing_sticks_out_on_a_phone(visited: Visit) -> None:
    limit(visited, 40)
    visited.ask("word" * 60)
    visited.page.click("#settings summary")
    visited.wait_for("Answered")
    assert visited.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert visited.overflowing == []


def test_the_conversation_goes_on_and_begins_anew(visited: Visit) -> None:
    bodies: list[Any] = []
    visited.page.on("request", lambda request: bodies.append(request.post_data_json))
    limit(visited, 8)
    for question in ("My name is Ada.", "Who am I?"):
        visited.ask(question)
        visited.page.locator("#send").wait_for()
    assert [message["role"] for message in bodies[-1]["messages"]] == ["user", "assistant", "user"]
    visited.page.click("#new")
    assert visited.page.locator("article").count() == 0
    visited.ask(SKY)
    visited.page.locator("#send").wait_for()
    assert [message["role"] for message in bodies[-1]["messages"]] == ["user"]


def test_a_refusal_is_told_and_loses_nothing(visited: Visit) -> None:
    text = "water " * 9000
    visited.ask(text)
    visited.page.locator("#problem", has_text="8192").wait_for()
    assert visited.page.input_value("#prompt").strip() == text.strip()
    assert visited.page.locator("article").count() == 0


def test_all_can_be_reached_by_keyboard_and_has_a_name(visited: Visit) -> None:
    visited.page.click("#settings summary")
    names = visited.page.evaluate(
        """() => [...document.querySelectorAll("input, select, textarea, button")]
            .map((each) => each.labels?.length ? each.labels[0].textContent : each.textContent)"""
    )
    assert all(name.strip() for name in names)
    visited.page.focus("#model")
    reached = []
    for _ in range(10):
        reached.append(visited.page.evaluate("document.activeElement.id || 'summary'"))
        visited.page.keyboard.press("Tab")
    parameters = ["system", "temperature", "top-p", "max-tokens", "key", "tools"]
    assert reached == ["model", "new", "summary", *parameters, "prompt"]


def test_the_dark_is_dark(browser: Any, server: Server) -> None:
    def brightness(scheme: str) -> int:
        with visit(browser, server.url, color_scheme=scheme) as found:
            style = found.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", style)))

    assert brightness("dark") < 150
    assert brightness("light") > 600


def test_a_key_is_asked_for_and_kept_for_the_tab(browser: Any, tmp_path: Path) -> None:
    with (
        serving(tmp_path / "log", "smollm2", "--api-key", "a-key-of-some-length") as server,
        visit(browser, server.url) as found,
    ):
        found.page.locator("#problem", has_text="key").wait_for()
        assert found.page.evaluate("document.activeElement.id") == "key"
        found.page.keyboard.type("a-key-of-some-length")
        found.page.keyboard.press("Tab")
        found.page.locator("#model option").first.wait_for(state="attached")
        assert found.page.locator("#problem").is_hidden()
        stored = "[Object.values(sessionStorage), Object.values(localStorage), document.cookie]"
        assert found.page.evaluate(stored) == [["a-key-of-some-length"], [], ""]
