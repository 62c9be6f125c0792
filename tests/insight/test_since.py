"""``?since=``: a process's own past, by time and by name, over HTTP and a real store."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from cache import AsyncCache
from cache.api.app import create_app
from cache.errors import SnapshotError
from cache.insight.past import ASKED, MOST_BYTES, TIMED, GoneError, Past, moment
from cache.metrics import CacheMetrics
from telemetry.figures import Figures
from telemetry.ledger import Ledger

NOW = 1_769_860_800.0
"""2026-01-31T12:00:00Z."""


class Clock:
    """A time that moves by command."""

    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> float:
        return self.time


def past_of(figures: Callable[[], Figures], clock: Clock) -> Past:
    return Past(figures, clock, lambda n: bytes(range(n)))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def past(clock: Clock) -> Past:
    """A past of figures that began a while ago."""
    return past_of(Ledger(now=lambda: NOW - 5000).figures, clock)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("0s", NOW),
        ("90s", NOW - 90),
        ("5m", NOW - 300),
        ("2h", NOW - 7200),
        ("1d", NOW - 86_400),
        ("2026-01-31T12:00:00Z", NOW),
        ("2026-01-31t12:59:59.5+01:00", NOW - 0.5),
        ("2026-01-31 11:00:00-00:30", NOW - 1800),
    ],
)
def test_moments(text: str, at: float) -> None:
    """How long ago, and times as RFC 3339 writes them."""
    assert moment(text, NOW) == at


@pytest.mark.parametrize(
    "text",
    ["", "5", "m", "-5m", "5 m", "1.5h", "5M", "٥m", "9999999999s", "2026-01-31", "2026-01-31T12:00:00", "now",
     "2026-02-31T12:00:00Z", "2026-01-31T25:00:00Z", "2026-01-31T12:00:01Z", "s-xyz", "0000-01-01T00:00:00Z"],
)  # fmt: skip
def test_what_is_no_moment_is_refused(text: str) -> None:
    """Anything else, and the future."""
    with pytest.raises(SnapshotError):
        moment(text, NOW)


def test_the_last_that_is_not_younger_is_found(past: Past, clock: Clock) -> None:
    """By time the one at or before it; by name that very one; beyond the kept ones none."""
    names = []
    for _ in range(5):
        names.append(past.take(timed=True).name)
        clock.time += 10

    assert past.find("25s", NOW - 5000).name == names[2]
    assert past.find(names[1], NOW - 5000).at == NOW + 10
    assert past.find("2h", NOW - 5000) is None
    for text in ("60s", "s-00000000-1", "s-00010203-99"):
        with pytest.raises(GoneError):
            past.find(text, NOW - 5000)


def test_it_is_bounded(past: Past, clock: Clock) -> None:
    """So many by the clock, so many for who asks, and neither pushes the other out; within a second one serves all."""
    first = past.take(timed=True)
    assert past.take() == first
    for _ in range(2 * ASKED):
        clock.time += 2
        past.take()
    assert past.find(first.name, 0.0) == first
    for _ in range(2 * TIMED):
        clock.time += 2
        past.take(timed=True)
    with pytest.raises(GoneError):
        past.find(first.name, 0.0)
    kept = (*past._timed, *past._asked)
    assert len(kept) == TIMED + ASKED
    assert sum(len(one.data) for one in kept) < MOST_BYTES


def test_large_snapshots_are_fewer(clock: Clock) -> None:
    """Bytes are bounded too: the oldest leave."""
    figures = Figures()
    figures.bytes_stored.update({hashlib.sha256(bytes([i % 256, i // 256])).hexdigest(): i for i in range(2000)})
    past = past_of(lambda: figures, clock)
    first = past.take(timed=True)
    assert TIMED * len(first.data) > MOST_BYTES
    for _ in range(TIMED):
        clock.time += 2
        past.take(timed=True)
    assert sum(len(one.data) for one in past._timed) <= MOST_BYTES
    with pytest.raises(GoneError):
        past.find(first.name, 0.0)


def test_a_child_has_no_past_of_its_parents(clock: Clock) -> None:
    """Figures that began anew have snapshots that begin anew."""
    ledger = Ledger(now=clock)
    past = past_of(ledger.figures, clock)
    name = past.take().name
    ledger._begin_anew()
    clock.time += 2
    past.take()
    with pytest.raises(GoneError):
        past.find(f"{name[:-1]}2", 0.0)


Ask = Callable[..., Awaitable[httpx.Response]]


def served(url: str, play: Callable[[AsyncCache, Ask], Awaitable[None]]) -> None:
    """Play over the API of a cache in this process."""

    async def run() -> None:
        metrics = CacheMetrics()
        cache = AsyncCache.from_url(url, recorder=metrics.recorder, read_deadline=2, write_deadline=2)
        app = create_app(cache, metrics)
        transport = httpx.ASGITransport(app)
        async with app.router.lifespan_context(app):
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:

                async def ask(**query: str) -> httpx.Response:
                    return await client.get("/cache/metrics", params=query)

                await play(cache, ask)

    asyncio.run(run())


def test_since_a_snapshot(glasscache_url: str) -> None:
    """Only what came after it, with the specification's fields, and compared with what was before."""

    async def play(cache: AsyncCache, ask: Ask) -> None:
        for i in range(400):
            await cache.get_or_compute("prompt", f"a{i}" if i % 10 == 0 else "same", lambda: 1)
        begun: dict[str, Any] = (await ask()).json()
        # within a second the snapshot is an older one, of the beginning perhaps: it says of which moment it is
        first: dict[str, Any] = (await ask(since=begun["snapshot"])).json()
        for i in range(400):
            await cache.get_or_compute("prompt", f"b{i}" if i % 2 == 0 else "same", lambda: 1)
        told: dict[str, Any] = (await ask(since=begun["snapshot"])).json()

        assert told["total_requests"] == first["total_requests"] + 400
        assert told["hits"] + told["misses"] == told["total_requests"]
        assert begun["total_requests"] == 400
        assert told["compared"]["before_since"] <= told["since"]
        assert told["compared"]["lookups"][1] == told["total_requests"]
        assert (told["scope"], told["workers"]) == ("process", 1)

    served(glasscache_url, play)


def test_since_the_beginning(glasscache_url: str) -> None:
    """A time before counting began is all of it, compared with nothing."""

    async def play(cache: AsyncCache, ask: Ask) -> None:
        await cache.get("prompt", "k")
        told = (await ask(since="1d")).json()
        assert told["misses"] == 1
        assert "compared" not in told
        assert (await ask(since="2020-01-01T00:00:00Z")).json()["misses"] == 1

    served(glasscache_url, play)


def test_bad_beginnings_are_problems(glasscache_url: str) -> None:
    """No time, the future, a name of another process, the fleet: each with its code."""

    async def play(cache: AsyncCache, ask: Ask) -> None:
        for query, status, code in (
            ({"since": "yesterday"}, 422, "since"),
            ({"since": ""}, 422, "since"),
            ({"since": "2999-01-01T00:00:00Z"}, 404, "snapshot_gone"),
            ({"since": "5m", "scope": "fleet"}, 409, "since"),
            ({"since": "x" * 41}, 422, "invalid_parameter"),
            ({"since": "s-00000000-1"}, 404, "snapshot_gone"),
        ):
            answer = await ask(**query)
            assert (answer.status_code, answer.json()["code"]) == (status, code)
            assert answer.headers["content-type"] == "application/problem+json"

    served(glasscache_url, play)
