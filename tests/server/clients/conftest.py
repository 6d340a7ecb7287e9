from __future__ import annotations

from collections.abc import Iterator

import pytest
from openai import OpenAI

from tests.server.running import Server


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[OpenAI]:
    """OpenAI's client; it does not try again, so that each failure shows."""
    with OpenAI(base_url=server.api, api_key="none", max_retries=0, timeout=60) as made:
        yield made
