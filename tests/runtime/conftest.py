from __future__ import annotations

import logging
from collections.abc import Generator

import pytest


@pytest.fixture(autouse=True, scope="session")
def _quiet_torch() -> Generator[None]:
    """pytest collects every log record, and torch traces each shape it sees."""
    logger = logging.getLogger("torch.__trace")
    before, logger.disabled = logger.disabled, True
    yield
    logger.disabled = before


@pytest.fixture(autouse=True, scope="session")
def _private_cache(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADRACE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
