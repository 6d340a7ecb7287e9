"""The API keeps to its own OpenAPI document, whatever it is sent: 2,000 requests and more."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable

from tests.server.running import Server, serving

pytestmark = pytest.mark.slow

CASES = 2000
PER_OPERATION = {True: 340, False: 20}  # with a body, and without
CONTEXT = 256  # bounds what an answer takes, whatever limit is asked for


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    log = tmp_path_factory.mktemp("schemathesis") / "log"
    with serving(log, "smollm2", "--context", str(CONTEXT)) as running:
        yield running


def checks() -> list[Any]:
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks as openapi

    return [
        not_a_server_error,
        openapi.content_type_conformance,
        openapi.response_headers_conformance,
        openapi.response_schema_conformance,
        openapi.status_code_conformance,
    ]


def aim(case: Any, server: Server) -> None:
    """Ask for the model that there is: a request for another comes no further than its name."""
    if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
        case.body["model"] = server.model


def try_out(operation: Any, server: Server, mode: Any, count: int, seen: Counter[int]) -> None:
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],  # a failure is reported as it was found
        suppress_health_check=list(HealthCheck),
    )
    def run(case: Any) -> None:
        aim(case, server)
        response = case.call(timeout=60)
        seen[response.status_code] += 1
        case.validate_response(response, checks=checks())

    run()


def test_the_server_keeps_to_its_document(server: Server) -> None:
    schemathesis = pytest.importorskip("schemathesis", reason="needs the clients extra")
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    seen: Counter[int] = Counter()
    failures: list[str] = []
    for found in schema.get_all_operations():
        operation = found.ok()
        count = PER_OPERATION[bool(operation.body)]
        for mode in schemathesis.GenerationMode:
            try:
                try_out(operation, server, mode, count // 2, seen)
            except Unsatisfiable:
                assert mode == schemathesis.GenerationMode.NEGATIVE  # nothing to do wrong here
            except (Exception, BaseExceptionGroup) as failure:
                failures.append(f"{operation.label} {mode.value}: {failure}")
    if failures:
        pytest.fail("\n\n".join(failures))
    assert seen.total() >= CASES, seen
    assert seen[200] > CASES / 20, seen
