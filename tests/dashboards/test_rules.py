"""Recording rules and alerts by their text: names, labels, words and links; each has tests for and against it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from support import foreign_metrics
from support.exposition import Labels, everything_once
from support.rule_files import (
    TESTS,
    Selector,
    alerts,
    cases,
    grouping,
    groups,
    named,
    recordings,
    rules,
    selectors,
    series,
)

from telemetry import schema, vocabulary
from telemetry.schema import Kind, prometheus_label

SCRAPED = ("job", "!=", "glasscache-scrape")
DASHBOARDS = {"overview", "category", "runs", "store", "telemetry"}
NEVER_SILENT = {"CacheWatchdog"}
"""Alerts that are there to fire always: no test can show them silent."""

WORDS: Mapping[str, set[str]] = {
    schema.OPERATION: set(vocabulary.Operation),
    schema.OUTCOME: set(vocabulary.Outcome),
    schema.TIER: set(vocabulary.Tier),
    schema.MISS_REASON: set(vocabulary.MissReason),
    schema.MISS_TRIGGER: set(vocabulary.MissTrigger),
    schema.RESULT: {*vocabulary.WriteResult, *vocabulary.VerificationResult},
    schema.BOUND: set(vocabulary.Bound),
    schema.TRIGGER: set(vocabulary.Trigger),
    schema.FLIGHT_SCOPE: set(vocabulary.FlightScope),
    schema.BREAKER_TO: set(vocabulary.BreakerState),
    schema.EVICTION_CAUSE: set(vocabulary.EvictionCause),
    schema.ERROR_TYPE: set(vocabulary.ErrorType),
    schema.CATEGORY: {*vocabulary.BUILT_IN_CATEGORIES, vocabulary.OTHER, vocabulary.GENERAL, vocabulary.ALL},
}
CLOSED = {prometheus_label(attribute): words for attribute, words in WORDS.items()}


def ours() -> dict[str, set[str]]:
    """Every series of ours in Prometheus, with the labels that it may have."""
    found = {}
    for metric in schema.METRICS:
        labels = {prometheus_label(attribute) for attribute in metric.attributes}
        if metric.kind is Kind.HISTOGRAM:
            found |= {f"{metric.prometheus}_{part}": labels for part in ("sum", "count")}
            found[f"{metric.prometheus}_bucket"] = labels | {"le"}
        else:
            found[metric.prometheus] = labels
    return found


OURS = ours()
RECORDED = {rule["record"] for rule in recordings()}
SELECTORS = [(rule, selector) for rule in rules() for selector in selectors(rule["expr"])]


def name(rule: Mapping[str, Any]) -> str:
    """What a test is called."""
    return f"{rule.get('alert', rule.get('record'))}-{rule.get('labels', {}).get('severity', 'record')}"


def wrong(selector: Selector) -> Iterator[str]:
    """What a selector names that is not there."""
    for metric in named(selector):
        if metric in OURS:
            labels = {label for label, _, _ in selector.matchers} - {"job", "instance"}
            yield from (f"{metric}{{{label}}}" for label in labels - OURS[metric])
            for label in labels & CLOSED.keys():
                yield from (f"{label}={word}" for word in selector.values(label) if word not in CLOSED[label])
        elif metric not in RECORDED | foreign_metrics.LABELS.keys() | foreign_metrics.PROMETHEUS_OWN:
            yield metric


@pytest.mark.parametrize("rule", rules(), ids=name)
def test_every_name_and_word_exists(rule: Mapping[str, Any]) -> None:
    """Metrics, labels and the words of closed sets are the schema's, or on the list of foreign ones."""
    assert [fault for selector in selectors(rule["expr"]) for fault in wrong(selector)] == []


@pytest.mark.parametrize("rule", rules(), ids=name)
def test_every_label_that_is_grouped_by_exists(rule: Mapping[str, Any]) -> None:
    """Labels of ``by`` and ``on`` are carried by something."""
    foreign = {label for sets in foreign_metrics.LABELS.values() for labels in sets for label in labels}
    known = {"job", "instance", "le", "metric"} | foreign | {label for labels in OURS.values() for label in labels}
    assert grouping(rule["expr"]) <= known


def test_only_one_of_the_two_roads_is_read() -> None:
    """Each series of ours comes twice; a rule that takes both counts double."""
    both = [(name(rule), s.name) for rule, s in SELECTORS if s.name in OURS and SCRAPED not in s.matchers]
    assert both == []


def test_a_selector_without_a_name_is_an_overflow() -> None:
    """Only the mark of an overflow is looked for in all metrics."""
    nameless = [selector for _, selector in SELECTORS if not named(selector)]
    assert [selector.values("otel_metric_overflow") for selector in nameless] == [["true"]]


def test_ratios_are_never_averaged() -> None:
    """A mean of ratios weighs a quiet minute like a busy one."""
    averaged = re.compile(r"avg\w*\s*(?:(?:by|without)\s*\([^)]*\)\s*)?\([^()]*ratio")
    assert [name(rule) for rule in rules() if averaged.search(rule["expr"])] == []


def test_groups_are_evaluated_twice_a_minute() -> None:
    """So that ``for`` means the same everywhere; their names are apart, because tests order them by name."""
    assert {group["interval"] for group in groups()} == {"30s"}
    names = [group["name"] for group in groups()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("rule", recordings(), ids=name)
def test_recordings_are_named_after_the_convention(rule: Mapping[str, Any]) -> None:
    """``level:metric:operation``; the level is the labels that are left."""
    level, metric, operation = rule["record"].split(":")
    assert re.fullmatch(r"[a-z_]+", level) and re.fullmatch(r"[a-z_]+", metric) and re.fullmatch(r"\w+", operation)
    assert {"record", "expr"} == rule.keys()
    used = {s.name for other, s in SELECTORS if other is not rule}
    assert rule["record"] in used, "nothing uses it"


@pytest.mark.parametrize("rule", alerts(), ids=name)
def test_alerts_have_severity_texts_and_links(rule: Mapping[str, Any]) -> None:
    """The summary is static, the description says where, and both links lead to what there is."""
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule.keys() <= {"alert", "expr", "for", "keep_firing_for", "labels", "annotations"}
    texts = rule["annotations"]
    assert texts.keys() == {"summary", "description", "runbook_url", "dashboard_url"}
    assert "{{" not in texts["summary"] and texts["summary"].endswith(".") and texts["description"].endswith(".")
    runbook = f"http://localhost:3000/d/glasscache-runbooks/runbooks?var-alert={rule['alert']}"
    assert texts["runbook_url"] == runbook
    link = re.fullmatch(r"http://localhost:3000/d/glasscache-([a-z]+)/", texts["dashboard_url"])
    assert link is not None and link[1] in DASHBOARDS


@pytest.mark.parametrize("rule", alerts(), ids=name)
def test_descriptions_tell_every_label_and_the_value(rule: Mapping[str, Any]) -> None:
    """Who reads it needs no second look; what is about nothing in particular has neither."""
    told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["description"]))
    groups_of = [set(re.split(r",\s*", found)) for found in re.findall(r"\bby \(([^)]*)\)", rule["expr"])]
    recorded = {s.name.split(":")[0] for s in selectors(rule["expr"]) if s.name in RECORDED}
    if told:
        assert "$value" in rule["annotations"]["description"]
        carried = {label for labels in groups_of for label in labels} | set(_labels_of_levels(recorded))
        assert told <= carried
    else:
        assert rule["alert"] in NEVER_SILENT | {"CacheTelemetryAbsent", "CollectorDown"}


def _labels_of_levels(levels: set[str]) -> Iterator[str]:
    for level in levels:
        yield from (label for label in ("job", *CLOSED) if label in level)


def shown(alert: str, severity: str) -> bool:
    """True when a test expects the alert to fire, its texts compared."""
    return any(
        expected["exp_labels"].get("severity") == severity and expected.get("exp_annotations")
        for case in cases()
        for check in case.get("alert_rule_test", ())
        if check["alertname"] == alert
        for expected in check["exp_alerts"]
    )


def silent(alert: str, severity: str) -> int:
    """In how many tests it is expected not to fire."""
    return sum(
        severity not in {expected["exp_labels"].get("severity") for expected in check["exp_alerts"]}
        for case in cases()
        for check in case.get("alert_rule_test", ())
        if check["alertname"] == alert
    )


@pytest.mark.parametrize("rule", alerts(), ids=name)
def test_every_alert_is_tested_for_and_against(rule: Mapping[str, Any]) -> None:
    """A case in which it fires with its texts, and cases in which it is silent."""
    alert, severity = rule["alert"], rule["labels"]["severity"]
    assert shown(alert, severity)
    assert silent(alert, severity) >= 2 or alert in NEVER_SILENT


@pytest.mark.parametrize("rule", recordings(), ids=name)
def test_every_recording_is_tested(rule: Mapping[str, Any]) -> None:
    """Its value is compared in one test at least."""
    checks = [check for case in cases() for check in case.get("promql_expr_test", ())]
    assert any(rule["record"] in {s.name for s in selectors(c["expr"])} and c["exp_samples"] for c in checks)


def test_the_lives_of_a_healthy_process_alarm_nobody() -> None:
    """A start, a replacement, a reset and idleness are tested against all alerts at once."""
    quiet = 'ALERTS{alertstate="firing", alertname!="CacheWatchdog"}'
    checked = [
        [check for check in case.get("promql_expr_test", ()) if check["expr"] == quiet and not check["exp_samples"]]
        for case in cases()
    ]
    assert len([checks for checks in checked if len(checks) >= 3]) == 4


def test_tests_order_every_group() -> None:
    """Recordings come before the alerts that read them; promtool's own order is none."""
    names = [group["name"] for group in groups()]
    for path in TESTS:
        order = yaml.safe_load(path.read_text())["group_eval_order"]
        assert sorted(order) == sorted(names), path.name
        assert all(place.startswith("glasscache-records") for place in order[:4]), path.name


@pytest.fixture(scope="module")
def exposition() -> Mapping[str, set[Labels]]:
    """What a real process exposes, with a category of the application's own."""
    return everything_once(("search",))


INPUTS = sorted({line["series"] for case in cases() for line in case.get("input_series", ())})


def test_the_series_of_the_tests_are_real(exposition: Mapping[str, set[Labels]]) -> None:
    """Each exists in a real exposition with exactly these labels, or is on the list of foreign ones."""
    unreal = []
    for text in INPUTS:
        metric, labels = series(text)
        own = {key: value for key, value in labels.items() if key not in ("job", "instance")}
        if metric in OURS:
            real = frozenset(own.items()) in exposition.get(metric, set())
        elif metric in foreign_metrics.LABELS:
            real = any(own.keys() <= known and known - own.keys() <= {"server_address", "server_port"}
                       for known in foreign_metrics.LABELS[metric])  # fmt: skip
        else:
            # a metric of an application's own, which the cache knows nothing of
            real = metric.startswith("orders_")
        if not real or not {"job", "instance"} >= labels.keys() - own.keys():
            unreal.append(text)
    assert unreal == []


def test_the_exposition_has_every_metric_of_the_schema(exposition: Mapping[str, set[Labels]]) -> None:
    """Nothing is compared with an exposition that lacks it; sizes alone come from a store."""
    missing = {metric for metric in OURS if metric not in exposition}
    assert missing == {f"{schema.ENTRY_SIZE_METRIC.prometheus}_{part}" for part in ("sum", "count", "bucket")}


@pytest.mark.parametrize(
    ("expr", "fault"),
    [
        ('rate(cache_hits_total{job!="glasscache-scrape"}[5m])', "cache_hits_total"),
        ('cache_requests_total{cache_outcome=~"hit|mist"}', "cache_outcome=mist"),
        ('cache_errors_total{cache_outcome="hit"}', "cache_errors_total{cache_outcome}"),
        ("sum(nothing_here) / 2", "nothing_here"),
    ],
)
def test_faults_in_an_expression_are_found(expr: str, fault: str) -> None:
    """The checks above can fail."""
    assert [found for selector in selectors(expr) for found in wrong(selector)] == [fault]
