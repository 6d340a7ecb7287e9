"""A real browser without a screen, and what went on in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

NAMES = ("chromium-headless-shell", "chromium", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",  # it may run as root here, and sees only the page under test
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
NOTE_VIOLATIONS = """
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) =>
        window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""
PHONE = {"width": 360, "height": 740}


def installed() -> str | None:
    """HEADRACE_BROWSER, or the first Chromium on the path."""
    return os.environ.get("HEADRACE_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)


@dataclass(slots=True)
class Visit:
    """A page that is open; the addresses it asked for, and what went wrong in it."""

    page: Any
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def ask(self, text: str) -> None:
        self.page.fill("#prompt", text)
        self.page.press("#prompt", "Enter")

    def wait_for(self, status: str) -> None:
        self.page.locator("#status", has_text=status).wait_for(timeout=60_000)

    @property
    def violations(self) -> list[str]:
        return self.page.evaluate("window.violations")

    @property
    def overflowing(self) -> list[str]:
        """Elements that stick out to the right, but for those in a part that scrolls by itself."""
        return self.page.evaluate(
            """() => [...document.body.querySelectorAll("*")]
                .filter((each) => each.getBoundingClientRect().right > innerWidth + 0.5)
                .filter((each) => !each.closest("pre, .visually-hidden"))
                .map((each) => each.outerHTML.slice(0, 80))"""
        )


@contextmanager
def visit(browser: Any, url: str, **context: Any) -> Iterator[Visit]:
    """The page at `url` on a phone, or as `context` says."""
    with browser.new_context(**{"viewport": PHONE, **context}) as opened:
        visited = Visit(opened.new_page())
        visited.page.add_init_script(NOTE_VIOLATIONS)
        visited.page.on("request", lambda request: visited.requests.append(request.url))
        visited.page.on("pageerror", lambda error: visited.errors.append(str(error)))
        visited.page.goto(url)
        yield visited
