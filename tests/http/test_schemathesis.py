"""Schemathesis against the API's own OpenAPI document: with and without a token, the store up and down."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from support.serving import TOKEN, served

from cache.testing import EmbeddedServer

EXAMPLES = 25
QUICK = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module", params=["up", "down"])
def api(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """The API with its store up, and with its store down."""
    if request.param == "down":
        with served("redis://127.0.0.1:1/0", CACHE_API_TOKEN=TOKEN) as client:
            yield client
        return
    with EmbeddedServer() as server, served(server.url, CACHE_API_TOKEN=TOKEN) as client:
        yield client


@pytest.mark.parametrize("token", [TOKEN, "wrong", None], ids=["valid", "wrong", "none"])
def test_the_api_keeps_its_own_contract(api: httpx.Client, token: str | None) -> None:
    """Whatever is sent, the answer is one that the document describes: status, headers, body, no crash."""
    schema = schemathesis.openapi.from_dict(api.get("/openapi.json").json())
    schema.config.update(base_url=str(api.base_url))
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()

        @QUICK
        @given(case=operation.as_strategy())
        def check(case: schemathesis.Case) -> None:
            nonlocal tried
            tried += 1
            # a key's shape depends on its category, which a schema of two parameters cannot say
            left_out = [positive_data_acceptance] if case.path == "/cache/explain" else []
            case.call_and_validate(headers=headers, excluded_checks=left_out)

        check()
    assert tried > EXAMPLES
