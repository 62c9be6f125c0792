"""GET /cache/metrics?scope=fleet, served by the real command: several programs on one store, and a store in trouble."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import redis
from support.serving import served

from cache import AsyncCache, Cache, cli, fleet
from cache.api import create_app
from cache.api.models import Metrics
from cache.metrics import CacheMetrics
from cache.settings import Settings
from cache.testing import EmbeddedServer
from telemetry.recorder import Recorder

FLEET = {"scope": "fleet"}
PATIENT = {"read_deadline": 2, "write_deadline": 2}


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    """A store that the test may kill."""
    with EmbeddedServer() as running:
        yield running


def ask(api: httpx.Client) -> dict[str, Any]:
    """The fleet's figures; always 200, and what the document describes."""
    answer = api.get("/cache/metrics", params=FLEET)
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    Metrics.model_validate(body)
    # a past is one process's own
    assert body.keys() == Metrics.model_fields.keys() - {"snapshot", "compared"}
    return body


def until(api: httpx.Client, **wanted: Any) -> dict[str, Any]:
    """The fleet's figures once they say so."""
    give_up = time.monotonic() + 20
    while True:
        found = ask(api)
        if {name: found[name] for name in wanted} == wanted:
            return found
        assert time.monotonic() < give_up, found
        time.sleep(0.05)


def test_all_that_share_the_store_are_added_up(server: EmbeddedServer, capsys: pytest.CaptureFixture[str]) -> None:
    """Two served programs and one that uses the library: both say the same sum; who ends keeps counting."""
    recorder = Recorder()
    settings = Settings.of(redis_url=server.url, **PATIENT)
    with served(server.url) as first:
        with served(server.url) as second, fleet.report(settings, recorder.ledger):
            with Cache.from_settings(settings, recorder=recorder) as cache:
                cache.set("prompt", "k", 1)
                for _ in range(5):
                    cache.get("prompt", "k")
                cache.get("tool", ("t", {"n": 1}))
            all_three = until(second, hits=5, workers=3)
            assert ask(first)["hits"] == 5
        ended = until(first, processes=3, workers=1, silent=0)
        assert cli.main(["stats", "--fleet", "--url", str(first.base_url)]) == 0
        text = capsys.readouterr().out
        assert cli.main(["stats", "--fleet", "--json", "--url", str(first.base_url)]) == 0
        printed = json.loads(capsys.readouterr().out)
        own = first.get("/cache/metrics").json()

    for found in (all_three, ended, printed):
        assert (found["scope"], found["hits"], found["misses"], found["sets"]) == ("fleet", 5, 1, 1)
        assert (found["hit_rate"], found["complete"], found["note"]) == ("83.33%", True, None)
        assert found["categories"].keys() == {"prompt", "tool"}
    assert ended["categories"]["prompt"] == all_three["categories"]["prompt"]
    assert all_three["oldest_s"] < 5
    assert (own["scope"], own["hits"], own["workers"]) == ("process", 0, 1)
    assert "6 requests, 83.33% hits" in text
    assert "3 processes, 1 of them living" in text
    assert "complete since 20" in text


def test_namespaces_are_fleets_of_their_own(server: EmbeddedServer) -> None:
    """Another namespace's figures are neither seen nor touched."""
    recorder = Recorder()
    recorder.count_hit("prompt")
    with served(server.url, CACHE_NAMESPACE="b") as api:
        with fleet.report(Settings.of(redis_url=server.url, namespace="a"), recorder.ledger):
            assert (ask(api)["hits"], ask(api)["processes"]) == (0, 1)
    with redis.Redis(unix_socket_path=server.socket) as client:
        assert set(client.keys("*fleet")) == {b"a:fleet", b"b:fleet"}


def test_without_the_store_it_answers_with_its_own(server: EmbeddedServer) -> None:
    """The store is killed: this process's figures, not complete, and the reason in words; back: the fleet again."""
    with served(server.url) as api:
        until(api, scope="fleet")
        server.kill()
        gone = ask(api)
        server.start()
        back = until(api, scope="fleet")

    assert (gone["scope"], gone["complete"], gone["workers"], gone["processes"]) == ("process", False, 1, 1)
    assert gone["note"].startswith("of this process alone: the store does not answer: ")
    assert (back["complete"], back["processes"]) == (True, 1)


def test_the_terminal_says_that_it_is_one_process(capsys: pytest.CaptureFixture[str]) -> None:
    """``stats --fleet`` of a program whose store is away."""
    with served("redis://127.0.0.1:1/0") as api:
        found = ask(api)
        assert cli.main(["stats", "--fleet", "--url", str(api.base_url)]) == 0

    assert (found["scope"], found["complete"]) == ("process", False)
    text = capsys.readouterr().out
    assert "not complete" in text
    assert "the store does not answer" in text


@pytest.mark.parametrize(
    ("settings", "complete", "why"),
    [
        ({"redis_url": "embedded://"}, True, "the store is embedded, nobody else shares it"),
        ({"redis_url": "redis://127.0.0.1:1/0", "fleet": False}, False, "CACHE_FLEET is false"),
        ({"redis_url": "redis://127.0.0.1:1/0", "enabled": False}, False, "CACHE_ENABLED is false"),
    ],
    ids=["embedded", "off", "disabled"],
)
def test_who_reports_to_no_fleet_says_why(settings: dict[str, Any], complete: bool, why: str) -> None:
    """Nothing is started, the figures are this process's, and the reason stands there in words."""
    recorder = Recorder()
    recorder.count_hit("prompt")
    before = threading.active_count()
    with fleet.report(Settings.of(**settings), recorder.ledger) as shared:
        assert threading.active_count() == before
        found = shared.summary()

    Metrics.model_validate(found)
    assert (found["scope"], found["complete"], found["hits"]) == ("process", complete, 1)
    assert found["note"] == f"of this process alone: {why}"


def test_a_record_that_cannot_be_read_breaks_nothing(server: EmbeddedServer) -> None:
    """A key of that name which is no hash: this process's figures, and a reason."""
    with redis.Redis(unix_socket_path=server.socket) as client:
        client.set("fleet", "somebody else's")
    with served(server.url) as api:
        found = ask(api)

    assert (found["scope"], found["complete"]) == ("process", False)
    assert found["note"]


class Slow(fleet.Fleet):
    """A fleet whose figures take until they are let go; counts how many are read, and how many at once."""

    def __init__(self) -> None:
        super().__init__(Recorder().ledger)
        self.began, self.let_go = threading.Event(), threading.Event()
        self.calls = self.now = self.most = 0

    def summary(self) -> dict[str, Any]:
        self.calls, self.now = self.calls + 1, self.now + 1
        self.most = max(self.most, self.now)
        self.began.set()
        assert self.let_go.wait(20)
        self.now -= 1
        return super().summary() | {"silent": self.calls}


def test_a_thousand_who_ask_at_once_cost_two_looks() -> None:
    """One look is under way, the others share the next: no thread each, and no answer older than its question."""
    slow = Slow()

    async def crowd() -> list[int]:
        async with AsyncCache.from_url("redis://127.0.0.1:1/0") as cache:
            app = create_app(cache, CacheMetrics(), fleet=slow)
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://api", timeout=30) as api:

                async def ask() -> int:
                    return int((await api.get("/cache/metrics", params=FLEET)).json()["silent"])

                first = asyncio.create_task(ask())
                await asyncio.to_thread(slow.began.wait, 20)
                others = [asyncio.create_task(ask()) for _ in range(999)]
                gone = asyncio.create_task(ask())
                await asyncio.sleep(0)
                gone.cancel()
                # all of them have asked once the API has answered somebody who came later, and later still
                for _ in range(5):
                    assert (await api.get("/live")).status_code == 200
                slow.let_go.set()
                return await asyncio.gather(first, *others)

    assert asyncio.run(crowd()) == [1] + [2] * 999
    assert (slow.calls, slow.most) == (2, 1)
