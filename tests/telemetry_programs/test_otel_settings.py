"""The standard variables, read without the SDK."""

from __future__ import annotations

import logging

import pytest

from telemetry.otel_settings import OtelSettings


def read(*, console: bool = False, prometheus: bool = True, otlp: bool | None = None, **env: str) -> OtelSettings:
    return OtelSettings.from_mapping(env, service_name="s", console=console, prometheus=prometheus, otlp=otlp)


def test_nothing_set_means_a_registry_alone() -> None:
    """Without variables nothing is sent anywhere, and there is something to scrape."""
    settings = read()
    assert (settings.traces.exporters, settings.metrics.exporters) == (frozenset(), frozenset())
    assert settings.prometheus and not settings.disabled
    assert (settings.interval_ms, settings.queue, settings.traces.timeout_s) == (15_000, 16_384, 2.0)


def test_an_endpoint_is_a_wish_for_otlp() -> None:
    """The base endpoint gets a path for each signal, a signal's own is taken as it is."""
    settings = read(OTEL_EXPORTER_OTLP_ENDPOINT="http://c:4318/", OTEL_EXPORTER_OTLP_METRICS_ENDPOINT="http://m/push")
    assert settings.traces.endpoint == "http://c:4318/v1/traces" and "otlp" in settings.traces.exporters
    assert settings.metrics.endpoint == "http://m/push"
    assert read(otlp=False, OTEL_EXPORTER_OTLP_ENDPOINT="http://c").traces.exporters == frozenset()
    assert read(otlp=True).traces.endpoint == "http://localhost:4318/v1/traces"


def test_a_scrape_is_kept_beside_otlp() -> None:
    """OTEL_METRICS_EXPORTER=otlp, which platforms set for all, takes no registry away; none does."""
    assert read(OTEL_METRICS_EXPORTER="otlp").prometheus
    assert not read(OTEL_METRICS_EXPORTER="none").prometheus
    assert read(prometheus=False, OTEL_METRICS_EXPORTER="console, prometheus").prometheus


@pytest.mark.parametrize("text", ["many", "0", "-1", "nan", "inf"])
def test_what_is_no_number_is_the_default(text: str, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong number is said once and costs nothing more."""
    with caplog.at_level(logging.WARNING, "glasscache"):
        settings = read(OTEL_BSP_MAX_QUEUE_SIZE=text, OTEL_METRIC_EXPORT_INTERVAL=text)
    assert (settings.queue, settings.interval_ms) == (16_384, 15_000)
    assert [record.args[0] for record in caplog.records if isinstance(record.args, tuple)] == [
        "OTEL_BSP_MAX_QUEUE_SIZE",
        "OTEL_METRIC_EXPORT_INTERVAL",
    ]


def test_a_batch_fits_its_queue() -> None:
    """A small queue makes the batch small: the SDK refuses a batch that is larger."""
    assert read(OTEL_BSP_MAX_QUEUE_SIZE="10").batch == 10
