from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.build.cached import shared_cache, tiny_directory


@pytest.fixture(scope="module", autouse=True)
def cache_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with shared_cache(tmp_path_factory) as directory:
        yield directory


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_directory(tmp_path_factory)
