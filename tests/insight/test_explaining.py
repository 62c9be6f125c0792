"""Explaining one key, on both twins and a real server: where it is, what would happen, what happened."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import httpx
import pytest
from support.faces import Recording, Scenario, Stage, play
from support.serving import TOKEN, served

from cache import AsyncCache, Cache, Policy
from cache.api.app import create_app
from cache.cli import main
from cache.core.history import KEPT, TOLD, History
from cache.core.noting import OF_A_BATCH
from cache.metrics import CacheMetrics
from cache.testing.clock import ManualClock
from telemetry.vocabulary import Tier

POLICIES = (
    Policy(name="news", ttl_s=10, jitter=0, serve_stale=True),
    Policy(name="rates", ttl_s=10, jitter=0, stale_on=(ConnectionError,)),
    Policy(name="ahead", ttl_s=10, jitter=0, refresh_ahead=0.5),
    Policy(name="found", negative_on=(LookupError,), negative_ttl_s=30),
    Policy(name="once", fleet=True),
    Policy(name="near", tier=Tier.LOCAL),
)
SCENARIOS: list[Scenario] = []


def scenario(function: Scenario) -> Scenario:
    """Put a scenario into the table."""
    SCENARIOS.append(function)
    return function


def words(told: Any) -> list[tuple[str, str | None]]:
    """What happened, the latest first."""
    return [(note.what, note.why) for note in told.history]


@scenario
async def a_fresh_entry_tells_all_of_itself(stage: Stage) -> None:
    """Where it is, how it is written, what can invalidate it; nothing of it is counted."""
    await stage.cache.set("context", ("t", 1), {"a": "x" * 9000}, tags=["red"])
    told = await stage.cache.explain("context", ("t", 1))

    assert (told.outcome, told.would, told.tiers) == ("hit", "hit", {"local": "off", "redis": "fresh"})
    assert told.because == "a fresh entry in redis"
    assert (told.codec, told.compressed, told.signed) == ("json", True, False)
    assert [(seen.scope, seen.valid) for seen in told.scopes] == [("category", True), ("task:t", True), ("red", True)]
    assert all(seen.made_under == seen.now and len(seen.now or "") == 8 for seen in told.scopes)
    assert words(told) == [("stored", None)]
    assert stage.telemetry.value("cache.requests") == 0


@scenario
async def the_scope_that_broke_it_is_named(stage: Stage) -> None:
    """An invalid entry is still told of; of its scopes only the one that was invalidated is not valid."""
    await stage.cache.set("context", ("t", 1), 1, tags=["red", "blue"])
    before = await stage.cache.explain("context", ("t", 1))
    stage.clock.tick(2)
    await stage.cache.invalidate(tags=["red"])
    told = await stage.cache.explain("context", ("t", 1))
    broken = {seen.scope: seen for seen in told.scopes if not seen.valid}

    assert (told.outcome, told.miss_reason, told.would) == ("miss", "invalidated", "compute")
    assert (told.tier, told.tiers["redis"]) == (None, "invalid")
    assert list(broken) == ["red"]
    assert broken["red"].made_under == {seen.scope: seen.now for seen in before.scopes}["red"] != broken["red"].now
    assert (broken["red"].invalidated.why, broken["red"].invalidated.operation) == ("tag", "invalidate")
    assert told.age_s == pytest.approx(2)


@scenario
async def the_writers_trace_is_known(stage: Stage) -> None:
    """Who wrote the entry is known by its trace while it is this process's; of another process's nothing is said."""
    await stage.cache.get_or_compute("prompt", "k", Recording(1))
    told = await stage.cache.explain("prompt", "k")
    (span,) = stage.telemetry.spans("cache.get_or_compute prompt")

    assert told.writer.trace_id == f"{span.context.trace_id:032x}"
    assert (told.writer.operation, told.writer.what) == ("get_or_compute", "stored")
    stage.clock.tick(5)
    other = stage.another()
    await other.set("prompt", "k", 2)
    assert (await stage.cache.explain("prompt", "k")).writer is None
    assert (await other.explain("prompt", "k")).writer is not None
    await other.aclose()


@scenario
async def the_last_times_are_told(stage: Stage) -> None:
    """Misses with their reasons, writes, deletes, failures, stale answers; hits are not remembered."""
    await stage.cache.get("rates", "k")
    await stage.cache.set("rates", "k", "old")
    await stage.cache.get("rates", "k")
    stage.clock.tick(11)
    await stage.cache.lookup("rates", "k")
    await stage.cache.get_or_compute("rates", "k", Recording(ConnectionError("down")))
    assert (await stage.cache.explain("rates", "k")).would == "stale"
    await stage.cache.delete("rates", "k")
    told = await stage.cache.explain("rates", "k")

    assert (told.miss_reason, told.tiers["redis"]) == ("invalidated", "tombstone")
    assert words(told) == [
        ("deleted", "api"), ("stale", None), ("failed", None), ("miss", "expired"), ("stored", None), ("miss", "cold"),
    ]  # fmt: skip
    assert all(note.trace_id for note in told.history)


@scenario
async def batches_are_remembered_too(stage: Stage) -> None:
    """Each key of a batch that missed, and the first of those that it wrote."""
    await stage.cache.get_many("prompt", ["a", "b"])
    await stage.cache.get_or_compute_many("prompt", ["a", "b"], lambda keys: [1] * len(keys))
    await stage.cache.set_many("prompt", {f"k{n}": n for n in range(OF_A_BATCH + 1)})

    assert words(await stage.cache.explain("prompt", "b")) == [("stored", None), ("miss", "cold"), ("miss", "cold")]
    assert words(await stage.cache.explain("prompt", f"k{OF_A_BATCH - 1}")) == [("stored", None)]
    assert words(await stage.cache.explain("prompt", f"k{OF_A_BATCH}")) == []


@scenario
async def what_would_happen_is_what_happens(stage: Stage) -> None:
    """Each policy's word: serve stale, refresh ahead, raise again, compute."""
    for name in ("news", "ahead", "found"):
        assert (await stage.cache.explain(name, "k")).would == "compute"
    with pytest.raises(KeyError):
        await stage.cache.get_or_compute("found", "k", Recording(KeyError("nobody")))
    assert (await stage.cache.explain("found", "k")).would == "raise_again"
    await stage.cache.set("news", "k", 1)
    await stage.cache.set("ahead", "k", 1)
    assert (await stage.cache.explain("ahead", "k")).would == "hit"
    stage.clock.tick(6)
    assert (await stage.cache.explain("ahead", "k")).would == "hit_and_refresh"
    stage.clock.tick(6)
    told = await stage.cache.explain("news", "k")
    assert (told.outcome, told.miss_reason, told.would, told.tiers["redis"]) == ("miss", "expired", "stale", "expired")


@scenario
async def a_key_in_the_process_is_found_there(stage: Stage) -> None:
    """The local tier is told apart from Redis, and answers when Redis has nothing."""
    await stage.cache.set("near", "k", "v")
    for _ in range(1000):
        await stage.cache.get("near", "k")
        told = await stage.cache.explain("near", "k")
        if told.tier == "local":
            break
        await asyncio.sleep(0.005)
    assert (told.tier, told.tiers, told.would) == ("local", {"local": "fresh", "redis": "fresh"}, "hit")
    assert (await stage.cache.explain("near", "other")).tiers == {"local": "absent", "redis": "absent"}


@scenario
async def damaged_bytes_are_told_apart(stage: Stage) -> None:
    """What stands there and is none of ours is said to be so, without a fact that could be believed."""
    await stage.cache.set("prompt", "k", "v")
    with stage.server() as server:
        (name,) = server.keys("prompt:*")
        server.set(name, "somebody else's")
    told = await stage.cache.explain("prompt", "k")

    assert (told.miss_reason, told.tiers["redis"], told.scopes, told.codec) == ("version", "unreadable", (), None)
    assert told.size_bytes == len("somebody else's")


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("each", SCENARIOS, ids=lambda each: each.__name__)
def test_scenario(kind: str, each: Scenario, glasscache_url: str) -> None:
    """Both twins play every scenario of the table."""
    play(each, Stage(kind, glasscache_url, POLICIES))


def test_a_flight_in_the_air_would_be_joined(glasscache_url: str) -> None:
    """While somebody computes, here or in another process, that is what a caller would wait for."""
    flying, land = threading.Event(), threading.Event()

    def compute() -> int:
        flying.set()
        assert land.wait(30)
        return 1

    given = {"policies": POLICIES, "read_deadline": 2, "write_deadline": 2}
    with Cache.from_url(glasscache_url, **given) as cache, Cache.from_url(glasscache_url, **given) as other:
        caller = threading.Thread(target=cache.get_or_compute, args=("once", "k", compute))
        caller.start()
        try:
            assert flying.wait(30)
            assert cache.explain("once", "k").would == "join_flight"
            told = other.explain("once", "k")
            assert (told.would, told.miss_reason) == ("wait_for_fleet", "cold")
            assert "lock" in told.because
        finally:
            land.set()
            caller.join()
        assert cache.explain("once", "k").would == "hit"


def test_without_a_store_it_says_so() -> None:
    """The breaker's word, and that nothing would be stored; caching switched off is another matter."""
    with Cache.from_url("redis://127.0.0.1:1/0", clock=ManualClock()) as cache:
        for _ in range(4):
            told = cache.explain("prompt", "k")
        assert (told.outcome, told.would, told.breaker, told.tiers) == (
            "error", "compute_unstored", "open", {"local": "off", "redis": "unknown"},
        )  # fmt: skip
        assert told.because == "the store's breaker is open"
    with Cache.from_url("redis://127.0.0.1:1/0", enabled=False) as cache:
        told = cache.explain("prompt", "k")
        assert (told.outcome, told.would, told.because) == ("bypass", "compute_unstored", "CACHE_ENABLED is false")


def test_the_history_is_bounded() -> None:
    """A ring for all keys, ten notes for each, nothing after a fork."""
    history = History()
    for n in range(KEPT + 100):
        history.note("a" if n < 100 else "b", float(n), "get", "miss", None, n)

    assert history.of("a") == ()
    assert [note.at for note in history.of("b")] == [float(KEPT + 99 - n) for n in range(TOLD)]
    history.begin_anew()
    assert history.of("b") == ()


MOVES = ("age_s", "ttl_s", "kept_s")
"""What time alone changes between two answers."""


def still(told: Any) -> dict[str, Any]:
    """An explanation as JSON, without what time changes."""
    plain: dict[str, Any] = json.loads(json.dumps(told, default=str))
    return {name: value for name, value in plain.items() if name not in MOVES}


def test_all_faces_agree(
    glasscache_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The library, the HTTP API of the same process, and the command say the same of one key."""
    monkeypatch.setenv("REDIS_URL", glasscache_url)
    monkeypatch.setenv("CACHE_READ_DEADLINE", "2")
    key = ("read_file", {"path": "x"})
    query = {"category": "tool", "key": json.dumps(key)}
    headers = {"Authorization": f"Bearer {TOKEN}"}

    async def both() -> tuple[dict[str, Any], dict[str, Any]]:
        cache = AsyncCache.from_url(glasscache_url, read_deadline=2, write_deadline=2)
        await cache.get_or_compute("tool", key, lambda: {"n": 1}, tags=["red"])
        await cache.invalidate(tags=["red"])
        told = (await cache.explain("tool", key)).as_dict()
        app = create_app(cache, CacheMetrics(), token=TOKEN)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            answer = (await client.get("/cache/explain", params=query, headers=headers)).json()
        await cache.aclose()
        return told, answer

    told, answer = asyncio.run(both())
    assert still(told) == still(answer)
    assert [note["what"] for note in answer["history"]] == ["stored", "miss"]

    assert main(["explain", "--json", "tool", "read_file", '{"path": "x"}']) == 0
    printed = json.loads(capsys.readouterr().out)
    # what the other process remembers is not this command's to know
    assert printed["history"] == []
    known = {"history": [], "writer": None, "scopes": [seen | {"invalidated": None} for seen in answer["scopes"]]}
    assert still(printed) == still(answer | known)

    monkeypatch.setenv("CACHE_API_TOKEN", TOKEN)
    with served(glasscache_url, CACHE_API_TOKEN=TOKEN, CACHE_READ_DEADLINE="2") as client:
        url = f"--url={client.base_url}"
        assert main(["explain", "--json", url, "tool", "read_file", '{"path": "x"}']) == 0
        asked = json.loads(capsys.readouterr().out)
        assert still(asked) == still(client.get("/cache/explain", params=query, headers=headers).json())
        assert main(["explain", url, "tool", "read_file", '{"path": "x"}']) == 0
        assert "red" in capsys.readouterr().out
        monkeypatch.setenv("CACHE_API_TOKEN", "another")
        assert main(["explain", url, "tool", "x"]) == 1
        assert "refuses: the token is not the one that is set" in capsys.readouterr().err
    assert main(["explain", url, "tool", "x"]) == 1
    assert "does not answer as glasscache" in capsys.readouterr().err
