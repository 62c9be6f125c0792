"""What the standard ``OTEL_*`` variables ask for, read once; no SDK, no side effect.

``telemetry/provider.py`` builds from this. Variables that are not here (headers, certificates,
compression, the sampler, span limits) are read by the SDK itself from the process's environment.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote, urlsplit

EXPORT_TIMEOUT_S = 2.0
"""A Collector that does not answer may not hold the exporter's thread for the SDK's 10 s."""

EXPORT_INTERVAL_MS = 15_000.0
"""The same as Grafana's time interval; the SDK's default of 60 s is too slow for who watches."""

QUEUE = 16_384
"""Spans that wait for the exporter; beyond it the SDK drops the oldest and counts that."""

EXPORTERS = {"TRACES": ("otlp", "console", "none"), "METRICS": ("otlp", "console", "prometheus", "none")}
"""What ``OTEL_{signal}_EXPORTER`` may name here."""

_log = logging.getLogger("glasscache")


@dataclass(frozen=True, slots=True)
class Signal:
    """Where one signal goes.

    Args:
        exporters: of ``otlp``, ``console``, ``prometheus``.
        endpoint: full URL of OTLP over HTTP.
        timeout_s: of one export.
        fault: what is wrong with its variables, in one line that names one; empty when nothing is.
    """

    exporters: frozenset[str]
    endpoint: str
    timeout_s: float
    fault: str = ""

    @classmethod
    def from_mapping(cls, env: Mapping[str, str], signal: str, *, console: bool, otlp: bool | None) -> Self:
        """Read ``OTEL_{signal}_EXPORTER`` and its endpoint; ``signal`` is TRACES or METRICS."""
        base, own = "OTEL_EXPORTER_OTLP_", f"OTEL_EXPORTER_OTLP_{signal}_"
        named = {word.strip().lower() for word in env.get(f"OTEL_{signal}_EXPORTER", "").split(",")} - {""}
        chosen = set(named)
        endpoint = env.get(f"{own}ENDPOINT") or env.get(f"{base}ENDPOINT")
        if otlp or (otlp is None and not named and endpoint):
            chosen.add("otlp")
        elif otlp is False:
            chosen.discard("otlp")
        if console:
            chosen.add("console")
        timeout = _number(env, f"{base}TIMEOUT", EXPORT_TIMEOUT_S)
        return cls(
            exporters=frozenset(chosen),
            endpoint=env.get(f"{own}ENDPOINT")
            or f"{(endpoint or 'http://localhost:4318').removesuffix('/')}/v1/{signal.lower()}",
            timeout_s=_number(env, f"{own}TIMEOUT", timeout),
            fault=_unknown(signal, named) or (_unreachable(env, own, base) if "otlp" in chosen else ""),
        )


@dataclass(frozen=True, slots=True)
class OtelSettings:
    """The variables that we read ourselves.

    Args:
        disabled: ``OTEL_SDK_DISABLED``.
        traces: where spans go.
        metrics: where metrics go.
        prometheus: whether a registry is kept for scraping.
        interval_ms: between two exports of the metrics.
        queue: how many spans may wait.
        batch: how many spans go out at once.
        resource: attributes of the resource, ``service.name`` among them.
        redis: False where ``OTEL_PYTHON_DISABLED_INSTRUMENTATIONS`` names the Redis instrumentation.
    """

    disabled: bool
    traces: Signal
    metrics: Signal
    prometheus: bool
    interval_ms: float
    queue: int
    batch: int
    resource: Mapping[str, str]
    redis: bool = True

    @classmethod
    def from_mapping(
        cls, env: Mapping[str, str], *, service_name: str, console: bool, prometheus: bool, otlp: bool | None
    ) -> Self:
        """Read the variables; what is no number falls back to the default with one warning.

        Raises:
            ValueError: ``OTEL_SDK_DISABLED`` is neither true nor false.
        """
        if env.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf") != "http/protobuf":
            _log.warning("OTEL_EXPORTER_OTLP_PROTOCOL is ignored: OTLP goes over http/protobuf")
        metrics = Signal.from_mapping(env, "METRICS", console=console, otlp=otlp)
        queue = int(_number(env, "OTEL_BSP_MAX_QUEUE_SIZE", QUEUE))
        return cls(
            disabled=_disabled(env),
            traces=Signal.from_mapping(env, "TRACES", console=console, otlp=otlp),
            metrics=metrics,
            # kept beside OTLP: what nobody scrapes costs nothing, and platforms set OTEL_METRICS_EXPORTER=otlp for all
            prometheus="prometheus" in metrics.exporters or (prometheus and "none" not in metrics.exporters),
            interval_ms=_number(env, "OTEL_METRIC_EXPORT_INTERVAL", EXPORT_INTERVAL_MS),
            queue=queue,
            batch=min(int(_number(env, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)), queue),
            resource=_resource(env, service_name),
            redis="redis" not in map(str.strip, env.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")),
        )


def scrape_address(env: Mapping[str, str], port: int | None = None, *, count: int = 1) -> tuple[str, int] | None:
    """Where the processes of one program show their metrics: host, and the port of the first of them.

    Args:
        env: ``OTEL_EXPORTER_PROMETHEUS_HOST`` and ``OTEL_EXPORTER_PROMETHEUS_PORT`` are read.
        port: taken instead of the variable's.
        count: how many processes there are; each has a port of its own, one above the other.

    Returns:
        None when no port is given: then nothing listens.

    Raises:
        ValueError: a port is none, in one line that names the variable.
    """
    text = str(port) if port is not None else env.get("OTEL_EXPORTER_PROMETHEUS_PORT", "").strip()
    if not text:
        return None
    base = int(text) if text.isascii() and text.isdecimal() else 0
    if not 1 <= base <= 65536 - count:
        named = "--metrics-port" if port is not None else "OTEL_EXPORTER_PROMETHEUS_PORT"
        raise ValueError(f"{named}: {text!r} is no port for {count} of 1 to 65535; for example {named}=9464")
    return env.get("OTEL_EXPORTER_PROMETHEUS_HOST", "").strip() or "localhost", base


def _disabled(env: Mapping[str, str]) -> bool:
    text = env.get("OTEL_SDK_DISABLED", "").strip().lower()
    if text not in ("", "true", "false"):
        raise ValueError(f"OTEL_SDK_DISABLED: {text!r} is neither true nor false; for example OTEL_SDK_DISABLED=true")
    return text == "true"


def _unknown(signal: str, named: set[str]) -> str:
    """The fault of a name that is no exporter's."""
    name, unknown = f"OTEL_{signal}_EXPORTER", sorted(named - set(EXPORTERS[signal]))
    known = ", ".join(EXPORTERS[signal])
    return f"{name}: there is no exporter {unknown[0]!r}, there are {known}; for example {name}=otlp" if unknown else ""


def _unreachable(env: Mapping[str, str], *prefixes: str) -> str:
    """The fault of an endpoint that nothing can be sent to; it may hold a password and is not shown."""
    name = next((name for prefix in prefixes if env.get(name := f"{prefix}ENDPOINT")), "")
    if not name or _is_url(env[name]):
        return ""
    return f"{name}: it is no http:// or https:// URL; for example {name}=http://otel-collector:4318"


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        # no port, or a bracket that is never closed
        return False


def _resource(env: Mapping[str, str], service_name: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in env.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",") if "=" in pair)
    named = {key.strip(): unquote(value.strip()) for key, _, value in pairs}
    return {**named, "service.name": env.get("OTEL_SERVICE_NAME") or named.get("service.name") or service_name}


def _number(env: Mapping[str, str], name: str, default: float) -> float:
    """A positive number; anything else is the default."""
    text = env.get(name, "").strip()
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    # a queue of less than one span is none
    if not (1 <= number < math.inf or (name.endswith("TIMEOUT") and 0 < number < math.inf)):
        _log.warning("%s=%r is no positive number; it is %s", name, text, default)
        return default
    return number
