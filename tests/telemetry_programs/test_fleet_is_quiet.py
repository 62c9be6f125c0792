"""Reporting to the fleet makes no span, no count and no change of a breaker's gauge."""

from __future__ import annotations

import redis
from support.figures import facts

from cache import Cache, fleet
from cache.settings import Settings
from telemetry.quiet import unobserved
from telemetry.testing import Captured


def test_reporting_and_reading_are_not_observed(client: redis.Redis, captured: Captured, server_socket: str) -> None:
    """With Redis instrumented, the writes and a read make no span; the ledger stands still."""
    url = f"unix://{server_socket}?db=3"
    recorder = captured.recorder()
    with Cache.from_url(url, recorder=recorder, read_deadline=2, write_deadline=2) as cache:
        cache.set("prompt", "k", 1)
        assert [span.name for span in captured.spans()][-1] == "cache.set prompt"
        captured.clear()
        before = recorder.ledger.figures()
        with fleet.report(Settings.of(redis_url=url), recorder.ledger) as shared:
            summary = shared.summary()
        after, made = recorder.ledger.figures(), captured.spans()

        assert summary["scope"] == "fleet"
        assert any(name.startswith(b"e:") for name in client.hkeys("fleet"))
        assert made == []
        assert facts(after) == facts(before)
        assert after.breakers == before.breakers
        cache.get("prompt", "k")
        assert captured.spans() != []


def test_unobserved_work_makes_no_span(client: redis.Redis, captured: Captured) -> None:
    """Inside there is no span, also when it ends with an error; afterwards there is."""
    try:
        with unobserved():
            client.get("k")
            raise KeyError
    except KeyError:
        assert captured.spans() == []
    client.get("k")
    assert [span.name for span in captured.spans()] == ["GET"]
