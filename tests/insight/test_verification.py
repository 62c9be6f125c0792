"""Is it true: hits that are computed again, on a real server, over both twins."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from support.faces import Stage, play

from cache import MISS, Policy
from cache.core.policies import PolicyTable
from cache.insight import verifying
from cache.insight.checks import NEVER, Checks
from cache.insight.sameness import rule_of, same
from cache.testing.clock import ManualClock
from telemetry.vocabulary import Tier

BOTH = pytest.mark.parametrize("kind", ["sync", "async"])
ALL = {"verify_share": 1.0, "verify_rate": 1000.0}
FACTS = Policy(name="facts", repeatable=True)
PATIENCE_S = 30.0
WRONG, TRUE = 12, 40


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change is followed by its invalidation within microseconds here."""
    monkeypatch.setattr(verifying, "SETTLE_S", 0.05)


def results(stage: Stage, category: str = "facts") -> dict[str, int]:
    """How many verifications ended how, as the metrics say; zeros left out."""
    points = stage.telemetry.points("cache.verifications")
    said = {
        dict(labels)["cache.result"]: int(n) for labels, n in points.items() if ("cache.category", category) in labels
    }
    return {result: n for result, n in said.items() if n}


async def until(done: Callable[[], bool]) -> None:
    """Wait for what goes on in the background."""
    async with asyncio.timeout(PATIENCE_S):
        while not done():  # noqa: ASYNC110 (a background of threads tells no event)
            await asyncio.sleep(0.002)


def counted(stage: Stage) -> int:
    """How many verifications have ended, by the ledger: quickly, for who waits."""
    return sum(stage.recorder.ledger.read(lambda figures: figures.verifications).values())


async def verified(stage: Stage, ask: Callable[[], Awaitable[Any]]) -> Any:
    """One hit, and the end of its verification."""
    before = counted(stage)
    value = await ask()
    await until(lambda: counted(stage) > before and not stage.engine.checks._running)
    return value


@BOTH
def test_every_wrong_entry_is_found_and_no_true_one_is_called_wrong(glasscache_url: str, kind: str) -> None:
    """All that was planted is counted, with both digests on its span and no value; callers get what is stored."""

    async def scenario(stage: Stage) -> None:
        for n in range(WRONG + TRUE):
            await stage.cache.set("facts", n, {"secret": f"wrong-{n}" if n < WRONG else f"true-{n}"})
        for n in range(WRONG + TRUE):
            got = await verified(
                stage, lambda n=n: stage.cache.get_or_compute("facts", n, lambda: {"secret": f"true-{n}"})
            )
            assert got == {"secret": f"wrong-{n}" if n < WRONG else f"true-{n}"}
        assert results(stage) == {"different": WRONG, "same": TRUE}
        spans = stage.telemetry.spans("cache.verify facts")
        different = [span.attributes for span in spans if span.attributes["cache.result"] == "different"]
        assert len(spans) == WRONG + TRUE and all(span.parent is None for span in spans)
        assert all(said["cache.verification.stored"] != said["cache.verification.computed"] for said in different)
        assert all(said["cache.verification.repeatable"] for said in different)
        assert "secret" not in str([span.attributes for span in spans])
        # a second computation is no lookup
        assert stage.count("hit", "facts") == WRONG + TRUE

    play(scenario, Stage(kind, glasscache_url, (FACTS,), **ALL))


@BOTH
def test_nothing_is_called_wrong_while_everything_changes(glasscache_url: str, kind: str) -> None:
    """The truth is changed and then invalidated all the time: a hit that is old by right is no difference."""
    truth, rounds = dict.fromkeys(range(4), 0), 150

    async def scenario(stage: Stage) -> None:
        rand = random.Random(kind)

        for turn in range(rounds):
            key = rand.randrange(4)
            if turn % 3 == 0:
                truth[key] += 1
                # who asks in this moment is given what is about to be dropped
                await stage.cache.get_or_compute("facts", key, lambda key=key: compute_of(key))
                await stage.cache.invalidate(tags=[f"k:{key}"])
            for _ in range(3):
                await stage.cache.get_or_compute("facts", key, lambda key=key: compute_of(key))
                await asyncio.sleep(0)
        await until(lambda: not stage.engine.checks._running)
        found = results(stage)
        assert "different" not in found and "failed" not in found
        assert found["same"] >= 20

    def compute_of(key: int) -> dict[str, int]:
        return {"v": truth[key]}

    policy = Policy(name="facts", repeatable=True, tags=lambda key: (f"k:{key}",))
    play(scenario, Stage(kind, glasscache_url, (policy,), **ALL))


@BOTH
def test_a_replaced_entry_is_overtaken(glasscache_url: str, kind: str) -> None:
    """An entry that is written anew while it is verified is not judged by what its key was before."""

    async def scenario(stage: Stage) -> None:
        other = stage.another((FACTS,), verify_share=0.0)
        await stage.cache.set("facts", "k", "old")

        changed, release = threading.Event(), threading.Event()

        def compute() -> str:
            changed.set()
            release.wait(PATIENCE_S)
            return "new"

        async def compute_soon() -> str:
            changed.set()
            await until(release.is_set)
            return "new"

        await stage.cache.get_or_compute("facts", "k", compute if kind == "sync" else compute_soon)
        await until(changed.is_set)
        await other.set("facts", "k", "new")
        release.set()
        await until(lambda: counted(stage) > 0)
        assert results(stage) == {"overtaken": 1}
        await other.aclose()

    play(scenario, Stage(kind, glasscache_url, (FACTS,), **ALL))


@BOTH
@pytest.mark.parametrize("drop", [True, False])
def test_a_wrong_entry_is_dropped_where_the_settings_say_so(glasscache_url: str, kind: str, drop: bool) -> None:
    """It is gone, counted as a delete with its own trigger, and is computed anew by the next caller."""

    async def scenario(stage: Stage) -> None:
        await stage.cache.set("facts", "k", "wrong")
        await verified(stage, lambda: stage.cache.get_or_compute("facts", "k", lambda: "true"))
        assert results(stage) == {"different": 1}
        assert (await stage.cache.get("facts", "k")) == (MISS if drop else "wrong")
        deletes = stage.telemetry.value("cache.deletes", **{"cache.trigger": "verification", "cache.category": "facts"})
        assert deletes == drop

    play(scenario, Stage(kind, glasscache_url, (FACTS,), **ALL, verify_drop=drop))


@BOTH
def test_a_newer_entry_is_not_dropped(glasscache_url: str, kind: str) -> None:
    """The drop names the entry that was found wrong: one written since stays."""

    async def scenario(stage: Stage) -> None:
        engine, cache = stage.engine, stage.cache
        case = verifying.Case(engine, engine.policies["facts"], engine.want(engine.policies["facts"], "k"), str)
        await cache.set("facts", "k", "wrong")
        runner = (cache.cache if kind == "sync" else cache)._parts.runner

        async def run(operation: Any) -> Any:
            return runner.run(operation) if kind == "sync" else await runner.run(operation)

        before = verifying._times((await run(verifying._standing(case, local=False))).entry)
        stage.clock.tick(0.001)
        await cache.set("facts", "k", "newer")
        await run(verifying._drop(case, before))
        assert await cache.get("facts", "k") == "newer"
        now = verifying._times((await run(verifying._standing(case, local=False))).entry)
        await run(verifying._drop(case, now))
        assert await cache.get("facts", "k") is MISS

    play(scenario, Stage(kind, glasscache_url, (FACTS,)))


@BOTH
def test_a_computation_that_fails_is_nobodys_trouble(glasscache_url: str, kind: str) -> None:
    """The caller has its hit; the failure is counted, its class alone is told."""

    def compute() -> str:
        raise RuntimeError("secret words")

    async def scenario(stage: Stage) -> None:
        await stage.cache.set("facts", "k", "value")
        assert await verified(stage, lambda: stage.cache.get_or_compute("facts", "k", compute)) == "value"
        assert results(stage) == {"failed": 1}
        (span,) = stage.telemetry.spans("cache.verify facts")
        assert span.attributes["error.type"] == "other" and "secret" not in str(span.attributes) and not span.events

    play(scenario, Stage(kind, glasscache_url, (FACTS,), **ALL))


@BOTH
@pytest.mark.parametrize("way", ["local tier", "decorated", "its own ttl", "refreshed ahead"])
def test_hits_are_chosen_on_every_way_to_them(glasscache_url: str, kind: str, way: str) -> None:
    """From the process, by a decorated function, by a call with a TTL, in a category that is refreshed ahead."""
    policy = Policy(
        name="facts",
        repeatable=True,
        tier=Tier.LOCAL if way in ("local tier", "decorated") else Tier.REDIS,
        refresh_ahead=0.1 if way == "refreshed ahead" else 0.0,
    )

    async def scenario(stage: Stage) -> None:
        cache = stage.cache.cache if kind == "sync" else stage.cache

        @cache.cached("facts")
        def decorated(n: int) -> int:
            return n

        async def ask() -> Any:
            if way == "decorated":
                found = decorated(1)
                return await found if kind == "async" else found
            return await stage.cache.get_or_compute("facts", 1, lambda: 1, ttl=60 if way == "its own ttl" else None)

        await ask()
        assert await verified(stage, ask) == 1
        assert await verified(stage, ask) == 1
        assert results(stage) == {"same": 2}

    play(scenario, Stage(kind, glasscache_url, (policy,), **ALL))


def test_nothing_is_computed_again_unless_it_is_declared_repeatable(glasscache_url: str) -> None:
    """A share of 1 says nothing of a category that nobody declared; the settings can declare it."""

    async def scenario(stage: Stage) -> None:
        ran: list[int] = []
        for _ in range(5):
            await stage.cache.get_or_compute("prompt", "k", lambda: ran.append(1) or "v")
        assert ran == [1] and stage.engine.checks is None

    play(scenario, Stage("sync", glasscache_url, **ALL))
    with Stage("sync", glasscache_url, repeatable="prompt", **ALL).cache.cache as cache:
        assert cache.policies["prompt"].repeatable and cache._engine.checks is not None


def test_close_ends_it_and_nothing_is_counted_afterwards(glasscache_url: str) -> None:
    """A verification that computes while the cache is closed says nothing when it comes back."""
    stage = Stage("sync", glasscache_url, (FACTS,), **ALL)
    cache, begun, release = stage.cache.cache, threading.Event(), threading.Event()

    def compute() -> str:
        begun.set()
        release.wait(PATIENCE_S)
        return "other"

    cache.set("facts", "k", "value")
    cache.get_or_compute("facts", "k", compute)
    assert begun.wait(PATIENCE_S)
    checks = stage.engine.checks
    cache.close(0.01)
    release.set()
    asyncio.run(until(lambda: not checks._running))
    assert results(stage) == {}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_verifies_by_itself(glasscache_url: str) -> None:
    """A fork in the middle of a verification of the parent's: the child's own goes on."""
    stage = Stage("sync", glasscache_url, (FACTS,), **ALL)
    cache, begun, release = stage.cache.cache, threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        release.wait(PATIENCE_S)
        return "value"

    cache.set("facts", "k", "value")
    cache.get_or_compute("facts", "k", slow)
    assert begun.wait(PATIENCE_S)
    with stage.engine.checks._lock:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                asyncio.run(verified(stage, lambda: stage.cache.get_or_compute("facts", "k", lambda: "value")))
                code = 0 if results(stage)["same"] == 1 else 1
            finally:
                os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    release.set()
    cache.close()


def test_a_share_of_the_hits_is_chosen_by_chance() -> None:
    """0.1 % of a million hits, give or take; each hit has the same chance; none at a share of nothing."""
    rand = random.Random(1)
    checks = Checks(["facts"], 0.001, 1000.0, monotonic=lambda: 0.0, rand=rand.random)
    chosen, at = 0, 0
    while (at := at + checks._skip() + 1) <= 1_000_000:
        chosen += 1
    assert 900 <= chosen <= 1100
    assert Checks(["facts"], 0.0, 1.0, monotonic=lambda: 0.0).left == NEVER


def test_no_more_are_begun_in_a_second_than_the_settings_say(glasscache_url: str) -> None:
    """Two a second: of a thousand hits within one, two are checked."""

    async def scenario(stage: Stage) -> None:
        await stage.cache.set("facts", "k", "v")
        clock = ManualClock()
        stage.engine.checks._monotonic = clock.monotonic
        ran = 0
        for _ in range(100):
            for _ in range(10):
                await stage.cache.get_or_compute("facts", "k", lambda: "v")
            await until(lambda: not stage.engine.checks._running)
            clock.tick(0.01)
        ran = results(stage)["same"]
        assert ran == 2

    play(scenario, Stage("sync", glasscache_url, (FACTS,), verify_share=1.0, verify_rate=2.0))


def test_the_rules() -> None:
    """Equal and of one type; arrays close; a policy's own rule."""
    vector = np.array([0.1, 0.2, -0.3], dtype=np.float32)
    assert same(vector, vector + np.float32(1e-6)) and not same(vector, vector + np.float32(0.01))
    assert not same(vector, vector[:2])
    assert same({"a": [1, 2]}, {"a": [1, 2]}) and not same(1, True) and not same({"a": 1}, {"a": 2})
    folding = Policy(name="facts", same=lambda stored, computed: stored.lower() == computed.lower())
    assert rule_of(folding)("Text", "text") and rule_of(PolicyTable()["embedding"]) is same


@BOTH
def test_a_computation_that_never_gives_the_same_is_told_from_a_wrong_entry(glasscache_url: str, kind: str) -> None:
    """Who declared it repeatable by mistake sees that on the span."""

    async def scenario(stage: Stage) -> None:
        numbers = iter(range(100))
        await stage.cache.set("facts", "k", -1)
        await verified(stage, lambda: stage.cache.get_or_compute("facts", "k", lambda: next(numbers)))
        assert results(stage) == {"different": 1}
        (span,) = stage.telemetry.spans("cache.verify facts")
        assert span.attributes["cache.verification.repeatable"] is False

    play(scenario, Stage(kind, glasscache_url, (FACTS,), **ALL))
