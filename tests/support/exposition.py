"""A real exposition: what the Python exporter shows after a process has done everything once."""

from __future__ import annotations

from itertools import product

from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from telemetry.events import OperationEvent
from telemetry.otel_settings import OtelSettings
from telemetry.provider import build_meter_provider
from telemetry.recorder import Recorder
from telemetry.series import LOOKUPS
from telemetry.vocabulary import (
    BUILT_IN_CATEGORIES,
    BreakerState,
    ErrorType,
    FlightScope,
    MissReason,
    MissTrigger,
    Operation,
    Outcome,
    Tier,
)

Labels = frozenset[tuple[str, str]]


def everything_once(categories: tuple[str, ...]) -> dict[str, set[Labels]]:
    """Every series with its labels, by name, of a process that met each outcome, reason and error once.

    Args:
        categories: registered beside the built-in ones.
    """
    settings = OtelSettings.from_mapping({}, service_name="test", console=False, prometheus=True, otlp=False)
    registry = CollectorRegistry()
    provider = build_meter_provider(settings, Resource({"service.name": "test"}), registry)
    try:
        recorder = Recorder(meter_provider=provider)
        for category in (*BUILT_IN_CATEGORIES, *categories):
            recorder.register_category(category, 3600.0)
        for category, operation in product(recorder.ledger.categories(), Operation):
            _do_all(recorder, category, operation)
        recorder.breaker("redis", BreakerState.OPEN)
        text = generate_latest(registry).decode()
    finally:
        provider.shutdown()
    found: dict[str, set[Labels]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            # a label without a value is none, here as in Prometheus
            labels = frozenset((key, value) for key, value in sample.labels.items() if value)
            found.setdefault(sample.name, set()).add(labels)
    return found


def _do_all(recorder: Recorder, category: str, operation: Operation) -> None:
    if operation in LOOKUPS:
        for outcome, tier in product((Outcome.HIT, Outcome.STALE), Tier):
            with recorder.operation(category, operation) as event:
                event.looked(outcome, tier=tier, age_s=1.0)
        for reason in MissReason:
            with recorder.operation(category, operation) as event:
                event.looked(Outcome.MISS, reason=reason)
                _compute_and_wait(recorder, event)
        for trigger in MissTrigger:
            with recorder.operation(category, operation) as event:
                event.missed(MissReason.INVALIDATED, trigger)
        with recorder.operation(category, operation) as event:
            event.looked(Outcome.BYPASS)
    for kind in ErrorType:
        with recorder.operation(category, operation) as event:
            event.fail(kind)
            if operation in LOOKUPS:
                event.looked(Outcome.ERROR)


def _compute_and_wait(recorder: Recorder, event: OperationEvent) -> None:
    with recorder.compute(event):
        pass
    for scope in FlightScope:
        with recorder.wait(event, scope, None):
            pass
