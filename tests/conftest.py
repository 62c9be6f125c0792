"""What every test of the project shares."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest
from hypothesis import settings

# what drives a browser is in an environment of its own: make test-page
collect_ignore = [] if find_spec("playwright") else ["page"]

settings.register_profile("glasscache", deadline=None, database=None, print_blob=True)
settings.load_profile("glasscache")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees the settings or the ``.env`` of the machine it runs on."""
    for name in [name for name in os.environ if name.startswith(("CACHE_", "OTEL_", "REDIS_URL"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))


@pytest.fixture
def anyio_backend() -> str:
    """Tests marked ``anyio`` run on asyncio."""
    return "asyncio"
