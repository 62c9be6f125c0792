"""What every test of the project shares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

VARIABLES = ("REDIS_URL", "OTEL_SDK_DISABLED", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_EXPORTER")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test sees the settings or the ``.env`` of the machine it runs on."""
    import os

    for name in [name for name in os.environ if name.startswith("CACHE_") or name in VARIABLES]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))
    yield
