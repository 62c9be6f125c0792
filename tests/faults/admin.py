"""Telemetry and administration: rows 67 to 70."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
from support.serving import TOKEN, served

from cache import Cache, RedisCacheClient
from cache.metrics import get_metrics
from faults.book import quantile
from faults.callers import name_of
from faults.figures import Figures, Limits
from faults.place import Place
from faults.registry import Catalogue
from faults.resources import EITHER, QUIET, settings
from faults.truth import KEYS
from faults.watching import holding

ROWS = Catalogue("Telemetry and administration")

EXPORTING = """
import json, sys, time
from telemetry.provider import setup
provider = setup()
from cache import Cache
url, count = sys.argv[1], int(sys.argv[2])
took = []
with Cache.from_url(url) as cache:
    cache.set("prompt", "k", 1)
    for _ in range(200):
        cache.get("prompt", "k")
    for _ in range(count):
        began = time.perf_counter()
        cache.get("prompt", "k")
        took.append(time.perf_counter() - began)
print(json.dumps(sorted(took)), flush=True)
ended = time.perf_counter()
provider.shutdown()
print(time.perf_counter() - ended, flush=True)
"""


@ROWS.trial("67", "Collector dead or hung", "a closed port; one that takes connections and answers nothing",
            variants=EITHER, limits=Limits(burst_ms=None, lag_ms=None, recovery_s=None, p99_ms=1.0),
            tests=("tests/telemetry_programs/test_provider.py::test_a_dead_collector_costs_nothing_and_delays_no_end",
                   "tests/telemetry_programs/test_provider.py::test_a_full_queue_is_counted",
                   "tests/stack/test_stack_callers.py::test_callers_do_not_notice_that_a_watcher_is_away"))  # fmt: skip
def collector_away(place: Place, form: str, path: str) -> Figures:
    """Hits with the telemetry on: median beyond that without a Collector to send to; the end of the process."""
    count, figures = (2_000 if place.short else 20_000), Figures()
    medians: dict[str, float] = {}
    with socket.create_server(("127.0.0.1", 0)) as hung:
        ways = {"none": "", "dead": "http://127.0.0.1:9", "hung": f"http://127.0.0.1:{hung.getsockname()[1]}"}
        for name, endpoint in ways.items():
            exporters = "otlp" if endpoint else "none"
            variables = {
                "OTEL_TRACES_EXPORTER": exporters, "OTEL_METRICS_EXPORTER": exporters, "OTEL_LOGS_EXPORTER": "none",
                "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "CACHE_FAST_PATH": "true" if path == "fast" else "false",
                "OTEL_BSP_SCHEDULE_DELAY": "200", "OTEL_METRIC_EXPORT_INTERVAL": "200",
            }  # fmt: skip
            command = [sys.executable, "-c", EXPORTING, place.server.url, str(count)]
            told = subprocess.run(
                command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=120, check=False
            )
            if told.returncode != 0:
                raise RuntimeError(told.stderr[-500:])
            took, end = (json.loads(line) for line in told.stdout.splitlines()[-2:])
            medians[name] = quantile(took, 0.5)
            figures.errors += end > 5
            figures.more[f"end, {name}, s"] = round(end, 2)
    figures.calls = 3 * count
    figures.p99_ms = 1000 * max(0.0, *(medians[name] - medians["none"] for name in ("dead", "hung")))
    figures.more |= {f"median, {name}, µs": round(1e6 * seconds, 1) for name, seconds in medians.items()}
    return figures


@ROWS.trial("68", "a million names as labels", "the plain client's keys with 10^6 prefixes, in CI 10^4",
            variants=EITHER, limits=Limits(burst_ms=None, lag_ms=None, recovery_s=None, mib=64.0),
            tests=("tests/telemetry/test_ledger.py::test_the_seventeenth_category_is_other",
                   "tests/telemetry/test_schema.py::test_whatever_an_event_says_only_legal_series_come_out"),
)  # fmt: skip
def labelled(place: Place, form: str, path: str) -> Figures:
    """Names that nobody registered are one label, ``other``."""
    count, before = (10_000 if place.short else 1_000_000), holding().mib
    os.environ["CACHE_FAST_PATH"] = "true" if path == "fast" else "false"
    with RedisCacheClient(place.server.url) as client:
        for n in range(count):
            client.get(f"name{n}:x")
    figures = get_metrics().recorder.ledger.figures()
    categories = {key[0] for key in figures.requests}
    return Figures(
        calls=count,
        wrong=int(len(categories) > 20),
        mib=holding().mib - before,
        more={"categories counted": len(categories), "series": len(figures.requests)},
    )


@ROWS.trial("69", "cleared by the API under load, twice at once", "POST /cache/invalidate by two clients",
            variants=EITHER, limits=QUIET,
            tests=("tests/http/test_api.py::test_a_pattern_is_invalidated",
                   "tests/http/test_api.py::test_a_query_that_may_mean_something_else_deletes_nothing"))  # fmt: skip
def cleared(place: Place, form: str, path: str) -> Figures:
    """Both are answered 200, and nobody is given what was true before both."""
    figures, truth, over = Figures(), place.truth, threading.Event()
    variables = {
        "CACHE_API_TOKEN": TOKEN,
        "CACHE_READ_DEADLINE": "2",
        "CACHE_WRITE_DEADLINE": "2",
        "CACHE_FLEET": "false",
    }
    with (
        served(place.server.url, **variables) as client,
        Cache.from_url(place.url, **settings(path, read_deadline=2, write_deadline=2)) as cache,
        ThreadPoolExecutor(6) as pool,
    ):

        def ask() -> int:
            asked = 0
            while not over.is_set():
                key = random.randrange(KEYS)
                lowest = truth.floor(key)
                value = cache.get_or_compute("context", name_of(key), lambda key=key: truth.compute(key))
                figures.wrong += not truth.legal(key, lowest, value)
                asked += 1
            return asked

        def clear() -> int:
            answer = client.post(
                "/cache/invalidate", params={"pattern": "context:*"}, headers={"Authorization": f"Bearer {TOKEN}"}
            )
            return answer.status_code

        asking = [pool.submit(ask) for _ in range(4)]
        for _ in range(5 if place.short else 50):
            versions = [truth.change(key) for key in range(KEYS)]
            codes = [each.result(30) for each in [pool.submit(clear) for _ in range(2)]]
            figures.errors += sum(code != httpx.codes.OK for code in codes)
            for key, version in enumerate(versions):
                truth.raise_floor(key, version, everywhere=True)
        over.set()
        figures.calls = sum(each.result(30) for each in asking)
    return figures


@ROWS.trial("70", "switched off", "CACHE_ENABLED=false", variants=EITHER, limits=QUIET,
            tests=("tests/clients/test_outages.py::test_disabled_is_a_bypass",))  # fmt: skip
def switched_off(place: Place, form: str, path: str) -> Figures:
    """Every call computes; nothing is asked of any server."""
    count, computed = 20_000, []
    with Cache.from_url("redis://127.0.0.1:1/0", enabled=False, **settings(path)) as cache:
        began = time.perf_counter()
        for n in range(count):
            cache.get_or_compute("prompt", "k", lambda n=n: computed.append(n))
        took = (time.perf_counter() - began) / count
    return Figures(
        calls=count, origin=len(computed) / count, wrong=int(computed != list(range(count))),
        more={"a call, µs": round(took * 1e6, 1)},
    )  # fmt: skip
