"""One truth: spans, OTLP, Prometheus and JSON agree exactly with a count that was made without any of them."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import redis
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from support.otlp_sink import Sink, otlp_sink, values
from support.truth import Truth, as_json, of_json, of_otlp, of_prometheus, of_spans

from cache import MISS, AsyncCache, AsyncRedisCacheClient, Cache, Policy, RedisCacheClient
from cache.errors import CacheValueError, ValueTooLargeError
from cache.metrics import CacheMetrics
from cache.settings import Settings
from cache.testing import EmbeddedServer
from telemetry.provider import ScrapedReader
from telemetry.recorder import Recorder

THREADS, ROUNDS = 8, 40
PATIENT: dict[str, Any] = {"read_deadline": 2, "write_deadline": 2, "max_connections": 64}
CATEGORIES = ("prompt", "context", "embedding", "tool")


def key_of(category: str, who: str, n: int) -> Any:
    """A key that only one worker uses, so that what its lookups find follows from its own calls."""
    if category == "context":
        return f"{who}", n
    return (f"tool{who}", {"n": n}) if category == "tool" else f"{who}-{n}"


class Load:
    """One worker's calls, and what each must have been: judged by what it returned, never by telemetry.

    Args:
        alive: whether the store answers in this phase.
    """

    def __init__(self, truth: Truth, who: str, *, alive: bool) -> None:
        self.truth, self.who, self.alive = truth, who, alive
        self.random = random.Random(who)
        self.reads = 0
        self.stored: set[tuple[str, int]] = set()
        self.invalid: dict[tuple[str, int], str] = {}
        """What was made invalid by what, and not written since."""

    def _missed(self, category: str, operation: str, n: int = 1) -> None:
        """A lookup that found nothing: a miss while the store lives, an error when it is dead."""
        self.truth.looked(category, operation, "miss" if self.alive else "error", n)
        if not self.alive:
            self.truth.failed(category, operation)

    def _forgiven(self, category: str, n: int) -> None:
        """A miss of what may have been invalid, and is written anew by it."""
        self.truth.missed(category, self.invalid.pop((category, n), None))

    def _wrote(self, category: str, operation: str, stored: int, asked: int) -> None:
        self.truth.wrote(category, "stored", stored)
        self.truth.wrote(category, "dropped", asked - stored)
        if stored < asked and operation in ("set", "set_many"):
            self.truth.failed(category, operation)

    async def step(self, cache: Any) -> None:
        """One round of calls of every kind."""
        category, n = self.random.choice(CATEGORIES), self.random.randrange(20)
        key, value = key_of(category, self.who, n), [1.0, 2.0] if category == "embedding" else {"n": n}
        await self._computes(cache, category, key, n, value)
        await self._looks(cache, category, key)
        await self._batches(cache, category, value)
        await self._changes(cache, category, key, n, value)

    async def _computes(self, cache: Any, category: str, key: Any, n: int, value: Any) -> None:
        ran: list[int] = []
        await cache.get_or_compute(category, key, lambda: ran.append(1) or value)
        self.reads += 1
        if not ran:
            self.truth.looked(category, "get_or_compute", "hit")
            return
        self._missed(category, "get_or_compute")
        self._forgiven(category, n)
        self.truth.wrote(category, "stored" if self.alive else "dropped")
        if self.alive:
            self.stored.add((category, n))

    async def _looks(self, cache: Any, category: str, key: Any) -> None:
        self.reads += 1
        if await cache.get(category, key) is MISS:
            self._missed(category, "get")
        else:
            self.truth.looked(category, "get", "hit")
        found = await cache.lookup(category, key_of(category, self.who, 99))
        self.reads += 1
        assert found.value is MISS
        self._missed(category, "get")

    async def _batches(self, cache: Any, category: str, value: Any) -> None:
        keys = [key_of(category, self.who, n) for n in range(100, 105)]
        found = await cache.get_many(category, keys)
        self.reads += 1
        hits = sum(item is not MISS for item in found)
        if self.alive:
            self.truth.looked(category, "get_many", "hit", hits)
            self.truth.looked(category, "get_many", "miss", 5 - hits)
            for n in range(100, 105):
                self.truth.missed(category, self.invalid.get((category, n)))
        else:
            self._missed(category, "get_many", 5)
        asked: list[int] = []
        await cache.get_or_compute_many(
            category, keys, lambda missing: asked.append(len(missing)) or [value] * len(missing)
        )
        self.reads += 1
        missing = sum(asked)
        self.truth.looked(category, "get_or_compute_many", "hit", 5 - missing)
        if missing:
            self._missed(category, "get_or_compute_many", missing)
            for n in range(100, 105):
                self._forgiven(category, n)
            self.truth.wrote(category, "stored" if self.alive else "dropped", missing)
            if self.alive:
                self.stored.update((category, n) for n in range(100, 105))

    async def _changes(self, cache: Any, category: str, key: Any, n: int, value: Any) -> None:
        stored = await cache.set(category, key, value)
        self._wrote(category, "set", int(stored), 1)
        pairs = [(key_of(category, self.who, m), value) for m in (200, 201)]
        self._wrote(category, "set_many", await cache.set_many(category, pairs), 2)
        if self.alive:
            self.stored.update({(category, n), (category, 200), (category, 201)})
            for again in (n, 200, 201):
                self.invalid.pop((category, again), None)
        if self.random.random() < 0.3:
            self.truth.deleted(category, int(await cache.delete(category, key)))
            self.stored.discard((category, n))
            if self.alive:
                self.invalid[category, n] = "key"
            if not self.alive:
                self.truth.failed(category, "delete")
        if self.random.random() < 0.2:
            done = await cache.invalidate(tags=[f"task:{self.who}", "nobody"])
            self.truth.invalidated("all", done)
            for one in self.stored:
                if done and one[0] == "context":
                    self.invalid.setdefault(one, "tag")
            if not done:
                self.truth.failed("all", "invalidate")
        await self._refusals(cache, category)

    async def _refusals(self, cache: Any, category: str) -> None:
        for value, error, result in (
            (object(), CacheValueError, "dropped"),
            (b"x" * (2 << 20), ValueTooLargeError, "too_large"),
        ):
            if category == "embedding":
                return
            try:
                await cache.set(category, key_of(category, self.who, 300), value)
            except error:
                self.truth.wrote(category, result)


class Awaited:
    """A blocking cache behind awaitable calls."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return method(*args, **kwargs)

        return call


async def plain(truth: Truth, client: Any, *, alive: bool) -> None:
    """The plain client's calls; its category is the key's prefix."""
    for prefix, category in (("prompt", "prompt"), ("embed", "embedding"), ("mine", "other")):
        key = f"{prefix}:plain{type(client).__name__}"
        for value in ("text", None):
            good = await client.set(key, value)
            truth.wrote(category, "stored" if good else "dropped")
            if not good:
                truth.failed(category, "set")
        found = [await client.get(key), await client.get_json(key), await client.get(f"{key}:absent")]
        outcomes = ["hit" if item is not None else "miss" for item in found] if alive else ["error"] * 3
        for outcome in outcomes:
            truth.looked(category, "get", outcome)
            if not alive:
                truth.failed(category, "get")
        truth.deleted(category, int(await client.delete(key)))
        if not alive:
            truth.failed(category, "delete")
        await client.invalidate_pattern(f"{key}*")
        if alive:
            truth.invalidated(category)
        else:
            truth.failed(category, "invalidate")
    health = await client.health_check()
    if not health["connected"]:
        truth.failed("all", "health")


async def disabled(truth: Truth, cache: Any) -> None:
    """Everything is a bypass, and nothing is written."""
    assert await cache.get("prompt", "k") is MISS
    assert await cache.get_or_compute("tool", ("t", {}), lambda: 1) == 1
    assert await cache.get_many("prompt", ["a", "b"]) == [MISS, MISS]
    truth.looked("prompt", "get", "bypass")
    truth.looked("tool", "get_or_compute", "bypass")
    truth.looked("prompt", "get_many", "bypass", 2)
    assert not await cache.set("prompt", "k", 1)
    assert not await cache.invalidate(category="prompt")


async def crowded(truth: Truth, cache: Any) -> None:
    """A tenant whose budget is spent half-way: what it returns says which writes had no room."""
    tenant = Awaited(cache.scoped("large"))
    for n in range(100):
        stored = await tenant.set("prompt", f"k{n}", "x" * 1000)
        truth.wrote("prompt", "stored" if stored else "over_budget")
    assert truth.writes["prompt", "over_budget"] > 20


class Roads:
    """Real providers: OTLP over HTTP for spans and metrics, a Prometheus registry, a recorder that feeds them."""

    def __init__(self, sink: Sink) -> None:
        self.registry = CollectorRegistry()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        spans = OTLPSpanExporter(f"{sink.url}/v1/traces")
        self.tracers.add_span_processor(BatchSpanProcessor(spans, max_queue_size=1 << 17))
        metrics = PeriodicExportingMetricReader(OTLPMetricExporter(f"{sink.url}/v1/metrics"), 3_600_000)
        prometheus = ScrapedReader(registry=self.registry)
        self.meters = MeterProvider([metrics, prometheus], shutdown_on_exit=False)
        self.recorder = Recorder(tracer_provider=self.tracers, meter_provider=self.meters)

    def flush(self) -> str:
        """Export everything; the Prometheus exposition."""
        self.tracers.force_flush()
        self.meters.force_flush()
        return generate_latest(self.registry).decode()

    def shutdown(self) -> None:
        self.tracers.shutdown()
        self.meters.shutdown()


@contextmanager
def watched(client: redis.Redis, name: str) -> Iterator[list[str]]:
    """Every command of a name that clients, not scripts, have sent, as the server tells it."""
    found: list[str] = []

    def listen(monitor: Any) -> None:
        for told in monitor.listen():
            if told["command"] == f"ECHO over-{name}":
                return
            if told["client_type"] != "lua" and told["command"].partition(" ")[0].upper() == name:
                found.append(told["command"])

    with client.monitor() as monitor, ThreadPoolExecutor(1) as pool:
        listening = pool.submit(listen, monitor)
        try:
            yield found
        finally:
            client.echo(f"over-{name}")
            listening.result(30)


def test_four_roads_tell_one_truth() -> None:
    """A mixed load, the store killed half-way: every count agrees exactly on all roads."""
    truth, loads = Truth(), []
    with otlp_sink() as sink, EmbeddedServer() as server:
        roads = Roads(sink)
        metrics = CacheMetrics(roads.recorder)
        settings = PATIENT | {"recorder": roads.recorder}
        cache, awaited = Cache.from_url(server.url, **settings), AsyncCache.from_url(server.url, **settings)

        def phase(name: str, *, alive: bool) -> None:
            workers = [Load(truth, f"{name}{n}", alive=alive) for n in range(THREADS + 2)]
            loads.extend(workers)
            with ThreadPoolExecutor(THREADS) as pool:
                list(pool.map(lambda load: _drive(load, Awaited(cache)), workers[:THREADS]))
            asyncio.run(_drive_async(workers[THREADS:], awaited))
            asyncio.run(_plain(truth, server.url, roads.recorder, alive=alive))

        with redis.Redis.from_url(server.url) as client, watched(client, "MGET") as calls:
            phase("living", alive=True)
            entries = {
                name for name in client.keys("*") if name.split(b":")[0] in (b"prompt", b"context", b"embed", b"tool")
            }
            alive_entries = {name for name in entries if client.strlen(name) > 20}
        with Cache.from_url(server.url, tenant_max_bytes=1 << 16, **settings) as tight:
            asyncio.run(crowded(truth, tight))
        server.kill()
        phase("dead", alive=False)
        off = Cache.from_url(server.url, enabled=False, **settings)
        asyncio.run(disabled(truth, Awaited(off)))
        exposition = roads.flush()
        summary = metrics.summary()
        for each in (cache, off):
            each.close()
        roads.shutdown()

    expected = truth.bare()
    assert of_spans(sink) == expected
    assert of_otlp(sink) == expected
    assert of_prometheus(exposition) == expected
    assert of_json(summary) == as_json(expected, list(of_json(summary)))
    assert summary["hits"] == sum(n for (_, _, outcome), n in expected.requests.items() if outcome == "hit")
    assert summary["errors"] == sum(expected.errors.values())
    # the server's own figures: one MGET for each read, and every entry that the test says was stored
    assert len(calls) == sum(load.reads for load in loads if load.alive)
    assert len(alive_entries) == sum(len(load.stored) for load in loads if load.alive)
    assert {trigger for _, trigger in expected.invalid} == {"key", "tag"}
    assert Counter(outcome for _, _, outcome in expected.requests) >= Counter(["hit", "miss", "error", "bypass"])


def _drive(load: Load, cache: Any) -> None:
    async def run() -> None:
        for _ in range(ROUNDS):
            await load.step(cache)

    asyncio.run(run())


async def _drive_async(loads: list[Load], cache: AsyncCache) -> None:
    async def run(load: Load) -> None:
        for _ in range(ROUNDS):
            await load.step(cache)

    await asyncio.gather(*(run(load) for load in loads))
    await cache.aclose()


async def _plain(truth: Truth, url: str, recorder: Recorder, *, alive: bool) -> None:
    settings = Settings.of(redis_url=url, read_deadline=2, write_deadline=2)
    with RedisCacheClient(settings=settings, recorder=recorder) as client:
        await plain(truth, Awaited(client), alive=alive)
    async with AsyncRedisCacheClient(settings=settings, recorder=recorder) as client:
        await plain(truth, client, alive=alive)


def test_verifications_and_savings_tell_one_truth() -> None:
    """Hits that are computed again, some of them wrong, and what was saved: the same on all roads."""
    facts = Policy(name="facts", repeatable=True)
    with otlp_sink() as sink, EmbeddedServer() as server:
        roads = Roads(sink)
        metrics = CacheMetrics(roads.recorder)
        settings = PATIENT | {"recorder": roads.recorder, "verify_share": 1.0, "verify_rate": 1000.0}
        expected, done = Counter[str](), 0
        with Cache.from_url(server.url, policies=(facts,), **settings) as cache:
            for n in range(12):
                cache.get_or_compute("facts", n, lambda: "stored")
                cache.get_or_compute("facts", n, lambda n=n: "stored" if n % 4 else "another")
                expected["same" if n % 4 else "different"] += 1
                done += 1
                give_up = time.monotonic() + 30
                while roads.recorder.ledger.figures().verifications.total() < done and time.monotonic() < give_up:
                    time.sleep(0.005)
        exposition, summary = roads.flush(), metrics.summary()
        roads.shutdown()

    spans = [values(span.attributes) for span in sink.spans if span.name == "cache.verify facts"]
    assert Counter(said["cache.result"] for said in spans) == expected
    points = sink.metrics["cache.verifications"].sum.data_points
    otlp = Counter({values(p.attributes)["cache.result"]: p.as_int for p in points if _of_facts(values(p.attributes))})
    assert +otlp == expected
    scraped = _samples(exposition, "cache_verifications_total", "cache_result")
    assert +Counter(scraped) == expected
    said = summary["categories"]["facts"]
    assert +Counter(said["verifications"]) == +Counter(summary["verifications"]) == expected
    saved = {word: said["savings"][name] for word, name in (("low", "low"), ("middle", "seconds"), ("high", "high"))}
    assert _samples(exposition, "cache_time_saved_seconds", "cache_bound") == saved
    gauges = sink.metrics["cache.time_saved"].gauge.data_points
    assert {
        values(p.attributes)["cache.bound"]: p.as_double for p in gauges if _of_facts(values(p.attributes))
    } == saved
    assert said["savings"]["avoided"] == said["seconds_avoided"] and said["savings"]["spent"] == said["seconds_spent"]


def _of_facts(said: dict[str, Any]) -> bool:
    return bool(said["cache.category"] == "facts")


def _samples(exposition: str, name: str, label: str) -> dict[str, float]:
    """The samples of one metric of the category, by one label."""
    families = text_string_to_metric_families(exposition)
    found = (sample for family in families for sample in family.samples if sample.name == name)
    return {sample.labels[label]: sample.value for sample in found if sample.labels["cache_category"] == "facts"}
