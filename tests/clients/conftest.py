"""What the tests of the faces share."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["true", "false"], ids=["fast", "plain"])
def either_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, clean_environment: None) -> None:
    """Runs a test that touches the wire over both ways to the server."""
    monkeypatch.setenv("CACHE_FAST_PATH", request.param)
