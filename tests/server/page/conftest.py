from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.page.browser import ARGUMENTS, Visit, installed, visit
from tests.server.running import Server


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Not for longer than a module: while it is there, `asyncio.run` is taken."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the clients extra")
    program = installed()
    if program is None:
        pytest.skip("needs a Chromium: apt-get install chromium-headless-shell")
    with playwright.sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=program, args=list(ARGUMENTS))


@pytest.fixture
def visited(browser: Any, server: Server) -> Iterator[Visit]:
    """The page on a phone; nothing may go wrong in it, and nothing leave the server."""
    with visit(browser, server.url) as found:
        found.page.locator("#model option").first.wait_for(state="attached")
        yield found
        assert found.violations == []
        assert found.errors == []
        assert [each for each in found.requests if not each.startswith(server.url)] == []
