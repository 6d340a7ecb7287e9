"""The page's files as they are served: whole, under a strict policy, from here only."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from headrace.server import page
from tests.server.running import Server

ASSETS = Path(page.__file__).parent / "assets"
PATHS = ["/", *(f"/page/{name}" for name in page.PARTS)]


@pytest.mark.parametrize("path", PATHS)
def test_a_file_comes_under_the_policy_and_only_once(server: Server, path: str) -> None:
    reply = httpx.get(server.url + path)
    assert reply.status_code == 200
    assert reply.content == (ASSETS / (path.rpartition("/")[2] or "index.html")).read_bytes()
    assert reply.headers["content-security-policy"] == page.POLICY
    assert reply.headers["x-content-type-options"] == "nosniff"
    again = httpx.get(server.url + path, headers={"If-None-Match": reply.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_all_files_are_served() -> None:
    assert {path.name for path in ASSETS.iterdir()} == {"index.html", *page.PARTS}


def test_the_policy_lets_nothing_in() -> None:
    rules = dict(rule.split(" ", 1) for rule in page.POLICY.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self'"
    assert rules["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in page.POLICY


@pytest.mark.parametrize("path", sorted(ASSETS.iterdir()), ids=lambda path: path.name)
def test_nothing_is_asked_of_other_hosts(path: Path) -> None:
    addresses = set(re.findall(r"https?://[^\s\"'`)]+", path.read_text()))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # the name of a language, not an address
