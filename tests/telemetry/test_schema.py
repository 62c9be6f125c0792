"""The contract as code: names, units, label sets, and how many series there can be."""

from __future__ import annotations

import pytest

from telemetry import schema, series
from telemetry.events import OperationEvent
from telemetry.ledger import Ledger
from telemetry.schema import Kind, Metric
from telemetry.vocabulary import (
    ALL,
    BUILT_IN_CATEGORIES,
    GENERAL,
    MAX_REGISTERED_CATEGORIES,
    OTHER,
    ErrorType,
    MissReason,
    Operation,
    Outcome,
    Tier,
)

EVERY_CATEGORY = (
    *BUILT_IN_CATEGORIES,
    *(f"mine{n}" for n in range(MAX_REGISTERED_CATEGORIES)),
    OTHER,
    GENERAL,
    ALL,
)

CONTRACT = {
    "cache.requests": (Kind.COUNTER, "{request}", "cache_requests_total"),
    "cache.invalidated.lookups": (Kind.COUNTER, "{lookup}", "cache_invalidated_lookups_total"),
    "cache.operation.duration": (Kind.HISTOGRAM, "s", "cache_operation_duration_seconds"),
    "cache.compute.duration": (Kind.HISTOGRAM, "s", "cache_compute_duration_seconds"),
    "cache.entry.size": (Kind.HISTOGRAM, "By", "cache_entry_size_bytes"),
    "cache.entry.age": (Kind.HISTOGRAM, "s", "cache_entry_age_seconds"),
    "cache.writes": (Kind.COUNTER, "{write}", "cache_writes_total"),
    "cache.deletes": (Kind.COUNTER, "{delete}", "cache_deletes_total"),
    "cache.invalidations": (Kind.COUNTER, "{invalidation}", "cache_invalidations_total"),
    "cache.errors": (Kind.COUNTER, "{error}", "cache_errors_total"),
    "cache.compute.avoided": (Kind.COUNTER, "s", "cache_compute_avoided_seconds_total"),
    "cache.overhead": (Kind.COUNTER, "s", "cache_overhead_seconds_total"),
    "cache.flight.waits": (Kind.COUNTER, "{wait}", "cache_flight_waits_total"),
    "cache.flight.wait.duration": (Kind.HISTOGRAM, "s", "cache_flight_wait_duration_seconds"),
    "cache.breaker.state": (Kind.GAUGE, "", "cache_breaker_state"),
    "cache.breaker.transitions": (Kind.COUNTER, "{transition}", "cache_breaker_transitions_total"),
    "cache.policy.ttl": (Kind.GAUGE, "s", "cache_policy_ttl_seconds"),
    "cache.telemetry.dropped": (Kind.COUNTER, "{event}", "cache_telemetry_dropped_total"),
    "cache.local.entry.count": (Kind.UP_DOWN_COUNTER, "{entry}", "cache_local_entry_count"),
    "cache.local.size": (Kind.UP_DOWN_COUNTER, "By", "cache_local_size_bytes"),
    "cache.local.evictions": (Kind.COUNTER, "{eviction}", "cache_local_evictions_total"),
    "cache.ttl.expected_hit_ratio": (Kind.GAUGE, "", "cache_ttl_expected_hit_ratio"),
    "cache.time_saved": (Kind.GAUGE, "s", "cache_time_saved_seconds"),
    "cache.verifications": (Kind.COUNTER, "{verification}", "cache_verifications_total"),
}


def test_every_metric_has_the_contracts_name_type_unit_and_prometheus_name() -> None:
    """The schema has exactly the contract's instruments."""
    found = {m.name: (m.kind, m.unit, m.prometheus) for m in (*schema.METRICS, *schema.PLANNED)}
    assert found == CONTRACT


def test_what_later_stages_feed_is_marked_and_not_exported() -> None:
    """A planned metric is never among those that are exported."""
    assert all(metric.planned for metric in schema.PLANNED)
    assert not any(metric.planned for metric in schema.METRICS)


@pytest.mark.parametrize("metric", schema.METRICS, ids=lambda metric: metric.name)
def test_the_legal_label_sets_stay_under_the_sdks_limit(metric: Metric) -> None:
    """With 4 + 16 + 3 categories each instrument has fewer than 2000 legal label sets, each a different one."""
    sets = list(series.label_sets(metric, EVERY_CATEGORY))
    assert len(sets) == len(set(sets))
    assert len(sets) < series.LIMIT
    assert all(len(labels) == len(metric.attributes) for labels in sets)


def test_the_plain_products_would_not_stay_under_it() -> None:
    """The rules of ``series`` are needed: the plain products of errors and requests exceed the limit."""
    categories = len(EVERY_CATEGORY)
    assert categories * len(Operation) * len(ErrorType) > series.LIMIT
    assert categories * len(series.LOOKUPS) * len(Outcome) * (len(Tier) + 1) * (len(MissReason) + 1) > series.LIMIT


def test_whatever_an_event_says_only_legal_series_come_out() -> None:
    """Every operation with every error, outcome, tier and reason lands in a legal label set."""
    names = [name for name in EVERY_CATEGORY if name not in (GENERAL, ALL)]
    ledger = Ledger(name for name in names if name.startswith("mine"))
    for category in names:
        for operation in Operation:
            for kind in ErrorType:
                ledger.apply(OperationEvent(category, operation, error=kind), 0.0)
        for operation in series.LOOKUPS:
            event = OperationEvent(category, operation)
            for outcome in set(Outcome) - {Outcome.OK}:
                for tier in Tier:
                    for reason in (None, *MissReason):
                        event.looked(outcome, tier=tier, reason=reason)
            ledger.apply(event, 0.0)
    figures = ledger.figures()
    assert set(figures.requests) <= set(series.label_sets(schema.REQUESTS, EVERY_CATEGORY))
    assert set(figures.errors) <= set(series.label_sets(schema.ERRORS, EVERY_CATEGORY))


def test_the_buckets_go_from_10_us_to_10_s_in_1_25_5_steps() -> None:
    """Durations have a bucket boundary at 10 µs, then 1-2.5-5 steps to 10 s."""
    steps = [step * 10.0**power for power in range(-5, 1) for step in (1, 2.5, 5)]
    assert pytest.approx((*steps, 10.0)) == schema.DURATION_BUCKETS


def test_labels_in_prometheus_have_underscores() -> None:
    """An attribute's dots become underscores."""
    labels = [schema.prometheus_label(attribute) for attribute in schema.REQUESTS.attributes]
    assert labels == ["cache_category", "cache_operation", "cache_outcome", "cache_tier", "cache_miss_reason"]


def test_no_gauge_has_the_unit_one() -> None:
    """A gauge with unit 1 would have two names in Prometheus, one for each road."""
    assert all(metric.unit != "1" for metric in (*schema.METRICS, *schema.PLANNED))
