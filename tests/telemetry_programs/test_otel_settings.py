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


BASE, TRACES, METRICS = (f"OTEL_EXPORTER_OTLP_{part}ENDPOINT" for part in ("", "TRACES_", "METRICS_"))


@pytest.mark.parametrize(
    "text", ["foo", "collector:4318", "grpc://c:4317", "http://", "http:///v1", "http://c:port", "http://[::1", "//c"]
)
def test_an_endpoint_that_nothing_reaches_is_a_fault(text: str) -> None:
    """No scheme, another one, no host, no port: the variable is named, with an example, and its value is not shown."""
    settings = read(**{BASE: text})
    for signal in (settings.traces, settings.metrics):
        assert (
            signal.fault == f"{BASE}: it is no http:// or https:// URL; for example {BASE}=http://otel-collector:4318"
        )


def test_the_fault_is_that_of_the_endpoint_in_use() -> None:
    """A signal's own variable is named where it is wrong, the base is not looked at then, nor where nothing is sent."""
    settings = read(**{BASE: "http://c:4318", TRACES: "c:4318"})
    assert settings.traces.fault.startswith(f"{TRACES}: ")
    assert settings.metrics.fault == ""
    settings = read(**{BASE: "c:4318", METRICS: "https://user:word@[::1]:4318/push?x=1"})
    assert settings.traces.fault.startswith(f"{BASE}: ")
    assert settings.metrics.fault == ""
    unused = read(**{BASE: "c:4318"}, OTEL_TRACES_EXPORTER="none", OTEL_METRICS_EXPORTER="prometheus")
    assert (unused.traces.fault, unused.metrics.fault) == ("", "")
    assert read(otlp=False, **{BASE: "c:4318"}).traces.fault == ""


@pytest.mark.parametrize(
    ("name", "text", "known"),
    [
        ("OTEL_TRACES_EXPORTER", "bogus", "otlp, console, none"),
        ("OTEL_TRACES_EXPORTER", "otlp,bogus", "otlp, console, none"),
        ("OTEL_METRICS_EXPORTER", "otlp, bogus", "otlp, console, prometheus, none"),
    ],
)
def test_an_exporter_that_is_not_there_is_a_fault(name: str, text: str, known: str) -> None:
    """Nothing would be exported, and nobody would be told why."""
    settings = read(**{name: text})
    signal, other = settings.traces, settings.metrics
    if name == "OTEL_METRICS_EXPORTER":
        signal, other = other, signal
    assert signal.fault == f"{name}: there is no exporter 'bogus', there are {known}; for example {name}=otlp"
    assert other.fault == ""


@pytest.mark.parametrize(("text", "expected"), [("", False), (" False ", False), ("TRUE", True)])
def test_disabled_is_true_or_false(text: str, expected: bool) -> None:
    """In any case of letters; unset is false."""
    assert read(OTEL_SDK_DISABLED=text).disabled is expected


@pytest.mark.parametrize("text", ["maybe", "1", "yes"])
def test_disabled_is_nothing_else(text: str) -> None:
    """Who writes 1 means true: to go on exporting would be worse than not to start."""
    with pytest.raises(
        ValueError, match=rf"OTEL_SDK_DISABLED: '{text}' is neither .*; for example OTEL_SDK_DISABLED=true"
    ):
        read(OTEL_SDK_DISABLED=text)
