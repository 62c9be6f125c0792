"""One number on every road: OTLP, scrape, the fleet's JSON and the drivers' own ledger agree for each category."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from support.stack import ROOT, Stack, need_engine, run, until

from dashboards.source.catalogue import queries
from telemetry import schema
from telemetry.vocabulary import BUILT_IN_CATEGORIES

pytestmark = [pytest.mark.container, pytest.mark.slow]

REPLICAS, WORKERS = 2, 2
PROCESSES = REPLICAS * WORKERS
"""Of the workflow; as many of the API stand beside them."""

PATIENCE_S = 300
"""A cold model embeds every file first, in each of the processes."""

ROADS = {"OTLP": "glasscache|glasscache-traffic", "scrape": "glasscache-scrape"}

Counts = dict[tuple[str, str], int]
"""By category and outcome; without zeros."""


@pytest.fixture(scope="module")
def counted() -> Iterator[Stack]:
    """Two replicas with two workers each, of API and workflow, that make a certain number of runs and rest."""
    need_engine()
    run("sh", str(ROOT / "tools" / "build_images.sh"), seconds=900)
    started = Stack(
        f"glasscache-counted-{os.getpid()}",
        {"APP_WORKERS": str(WORKERS)},
        replicas=REPLICAS,
        override="tests/stack/counted.yml",
    )
    try:
        started.up()
        yield started
    finally:
        started.down()


@pytest.fixture(scope="module")
def expected(counted: Stack) -> Counts:
    """What the drivers counted from return values alone, once each has made all its runs."""
    found = until(lambda: complete(ledgers(counted)), PATIENCE_S, "the ledger of every worker")
    counts: Counter[tuple[str, str]] = Counter()
    for ledger in found:
        for category, said in ledger["categories"].items():
            counts[category, "hit"] += said["hits"]
            counts[category, "miss"] += said["misses"]
    return _bare(counts)


def ledgers(stack: Stack) -> dict[tuple[str, int], dict[str, Any]]:
    """The last ledger that each worker of each replica printed."""
    last: dict[tuple[str, int], dict[str, Any]] = {}
    for line in stack.compose("logs", "--no-color", "traffic").splitlines():
        replica, _, text = line.partition("|")
        if '"ledger"' in text:
            said = json.loads(text)
            last[replica.strip(), said["worker"]] = said
    return last


def complete(found: dict[tuple[str, int], dict[str, Any]]) -> list[dict[str, Any]]:
    """The ledgers when there is one of every process, else none."""
    return list(found.values()) if len(found) == PROCESSES else []


def in_prometheus(stack: Stack, jobs: str) -> Counts:
    """What Prometheus adds up of a road."""
    category, outcome = schema.prometheus_label(schema.CATEGORY), schema.prometheus_label(schema.OUTCOME)
    rows = stack.query(f'sum by ({category}, {outcome}) ({schema.REQUESTS.prometheus}{{job=~"{jobs}"}})')
    return _bare({(row["metric"][category], row["metric"][outcome]): float(row["value"][1]) for row in rows})


def in_json(summary: dict[str, Any]) -> Counts:
    """What the fleet's JSON says."""
    names = {"hits": "hit", "misses": "miss", "stale": "stale", "bypass": "bypass"}
    return _bare(
        {
            (category, outcome): said[name]
            for category, said in summary["categories"].items()
            for name, outcome in names.items()
        }
    )


def _bare(counts: dict[tuple[str, str], Any]) -> Counts:
    return {key: n for key, n in counts.items() if n}


def test_the_drivers_looked_every_category_up(expected: Counts) -> None:
    """There is something to compare: hits and misses of each of the four."""
    assert expected.keys() == {(name, word) for name in BUILT_IN_CATEGORIES for word in ("hit", "miss")}


@pytest.mark.parametrize("road", ROADS)
def test_prometheus_has_the_drivers_numbers(counted: Stack, expected: Counts, road: str) -> None:
    """By either road: for each category and outcome the number that the drivers counted, and no other outcome."""
    until(lambda: in_prometheus(counted, ROADS[road]) == expected, 60, f"{expected} by {road}")
    assert in_prometheus(counted, ROADS[road]) == expected


def test_the_fleets_json_has_the_drivers_numbers(counted: Stack, expected: Counts) -> None:
    """So has the API of any worker when it is asked for the fleet."""
    found = until(
        lambda: said if in_json(said := counted.app("/cache/metrics?scope=fleet")) == expected else None,
        30,
        f"{expected} in JSON",
    )

    assert (found["scope"], found["complete"], found["errors"]) == ("fleet", True, 0)
    assert (found["workers"], found["processes"]) == (2 * PROCESSES, 2 * PROCESSES)
    assert found["oldest_s"] < 5


def test_every_process_is_seen_on_both_roads(counted: Stack, expected: Counts) -> None:
    """Each worker pushes under an id of its own, and is scraped on a port of its own."""
    ids = f'count by (job) (count by (job, instance) ({schema.OVERHEAD.prometheus}{{job=~"{ROADS["OTLP"]}"}}))'
    pushed = {row["metric"]["job"]: int(row["value"][1]) for row in counted.query(ids)}

    assert pushed == {"glasscache": PROCESSES, "glasscache-traffic": PROCESSES}
    assert counted.value('count(up{job="glasscache-scrape"} == 1)') == 2 * PROCESSES


@pytest.mark.parametrize("metric", [schema.WRITES, schema.INVALIDATIONS, schema.AVOIDED])
def test_other_totals_agree_too(counted: Stack, expected: Counts, metric: schema.Metric) -> None:
    """Writes, invalidations and the seconds that hits saved: the same sum by both roads and in the fleet's JSON."""
    found = counted.app("/cache/metrics?scope=fleet")
    in_fleet = {
        schema.WRITES: sum(sum(one["writes"].values()) for one in found["categories"].values()),
        schema.INVALIDATIONS: found["invalidations"],
        schema.AVOIDED: found["seconds_avoided"],
    }[metric]
    roads = [counted.value(f'sum({metric.prometheus}{{job=~"{jobs}"}})') for jobs in ROADS.values()]

    assert in_fleet > 0
    assert roads == pytest.approx([in_fleet] * 2, rel=1e-12)


def test_both_roads_agree_on_every_series(counted: Stack, expected: Counts) -> None:
    """Every total of ours, label set by label set, is the same whichever way it came."""
    labels = {schema.prometheus_label(name) for metric in schema.METRICS for name in metric.attributes}
    totals = '{__name__=~"cache_.+_total|cache_.+_count",job=~"JOBS"}'
    query = f"sum by (__name__, {', '.join(sorted(labels))}) ({totals})"

    def of(jobs: str) -> dict[frozenset[tuple[str, str]], float]:
        return {
            frozenset(row["metric"].items()): float(row["value"][1])
            for row in counted.query(query.replace("JOBS", jobs))
        }

    def differing() -> dict[frozenset[tuple[str, str]], tuple[float, float]]:
        one, two = (of(jobs) for jobs in ROADS.values())
        pairs = {key: (one.get(key, 0.0), two.get(key, 0.0)) for key in one | two}
        return {key: pair for key, pair in pairs.items() if pair[0] != pytest.approx(pair[1], rel=1e-9)}

    until(lambda: not differing(), 60, "equal totals")
    assert differing() == {}
    assert len(of(ROADS["OTLP"])) > 100


def test_the_first_screen_shows_the_ledgers_values(counted: Stack, expected: Counts) -> None:
    """The tiles of hit rate, trouble and time saved, over all that has been, say what the ledgers say."""
    asked = {
        one.panel: one.expr
        for one in queries({"__range": "30m", "before": "1m"})
        if one.dashboard == "glasscache-overview"
    }
    hits, misses = (sum(n for (_, word), n in expected.items() if word == outcome) for outcome in ("hit", "miss"))
    fleet = counted.app("/cache/metrics?scope=fleet")
    saved = fleet["seconds_avoided"] - fleet["seconds_spent"]

    # increase() goes on beyond the last point by up to 1.1 of the interval: a total that rests is shown too high
    points = counted.value(f'min(count_over_time({schema.OVERHEAD.prometheus}{{job="glasscache-traffic"}}[30m]))')
    most = saved * (1 + 1.1 / (points - 1))

    assert counted.value(asked["Hit rate"]) == pytest.approx(hits / (hits + misses), rel=0.01)
    assert counted.query(asked["Operations in trouble"])
    assert counted.value(asked["Operations in trouble"]) == fleet["errors"] == 0
    assert 0.99 * saved <= counted.value(asked["Net time saved"]) <= 1.01 * most
