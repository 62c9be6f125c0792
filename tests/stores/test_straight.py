"""Questions that are asked straight away: the same answers, deadlines and repetitions as by a step."""

from __future__ import annotations

import threading
import time

import pytest
import redis

from cache.clock import Deadline, SystemClock
from cache.core.sent import NOT_NOW, Failed
from cache.core.steps import Call
from cache.errors import StoreError
from cache.stores.connect import StoreOptions, open_store
from telemetry.vocabulary import BreakerState, ErrorType

CLOCK = SystemClock()
QUESTION = ("MGET", "a", "absent", "long")
LONG = b"x" * 300_000
"""More than one read of the socket takes."""


def _open(url, **options):
    return open_store(url, StoreOptions(**options), on_breaker=lambda *_: None, clock=CLOCK)


@pytest.fixture
def filled(server):
    with redis.Redis(unix_socket_path=server.socket) as client:
        client.mset({"a": "one", "b": "two"})
    return server


@pytest.fixture
def ready(filled, proxy):
    """A store behind the proxy, with a connection that is open."""
    store = _open(proxy.url)
    store.execute(Call(("PING",), Deadline(CLOCK, 5), True))
    yield store
    store.close()


def test_nothing_is_sent_before_there_is_a_connection(filled, proxy):
    """Connecting, greeting and waiting are the ordinary way's."""
    store = _open(proxy.url)
    assert store.straight.ask(QUESTION, 5) is NOT_NOW
    assert proxy.tally.accepted == 0
    store.execute(Call(("PING",), Deadline(CLOCK, 5), True))
    before = proxy.tally.round_trips
    assert store.straight.ask(QUESTION, 5) == [b"one", None, None]
    assert proxy.tally.round_trips == before + 1
    store.close()
    assert store.straight.ask(QUESTION, 5) is NOT_NOW


def test_the_plain_path_has_none(filled):
    """The switch that leaves redis-py its own connections leaves nothing to ask straight away."""
    store = _open(filled.url, fast_path=False)
    store.execute(Call(("PING",), Deadline(CLOCK, 5), True))
    assert store.straight is None
    store.close()


def test_a_reply_in_pieces_is_put_together(ready, server, proxy):
    """One that is longer than the buffer, and one that comes byte by byte."""
    with redis.Redis(unix_socket_path=server.socket) as client:
        client.set("long", LONG)
    assert ready.straight.ask(QUESTION, 5) == [b"one", None, LONG]
    proxy.drip(0.001)
    assert ready.straight.ask(("MGET", "a", "b"), 5) == [b"one", b"two"]
    proxy.heal()
    assert ready.straight.ask(("MGET", "b", "a"), 5) == [b"two", b"one"]


def test_a_reply_that_is_refused_gives_the_connection_back_in_order(ready):
    """An error of one command leaves nothing behind."""
    failed = ready.straight.ask(("LPUSH", "a", "x"), 5)
    assert isinstance(failed, Failed) and isinstance(failed.error, redis.ResponseError)
    assert failed.trouble is not None and failed.trouble.kind is ErrorType.OTHER
    assert ready.straight.ask(QUESTION, 5) == [b"one", None, None]


def test_a_connection_that_ended_while_idle_is_not_written_to(ready, proxy):
    """It is seen before anything is sent, and the ordinary way replaces it."""
    accepted = proxy.tally.accepted
    proxy.reset_connections()
    give_up = time.monotonic() + 10
    while ready.straight.ask(QUESTION, 5) is not NOT_NOW:
        assert time.monotonic() < give_up
    assert ready.execute(Call(QUESTION, Deadline(CLOCK, 5), True)) == [b"one", None, None]
    assert proxy.tally.accepted == accepted + 1


def test_a_connection_that_ends_under_a_question_may_be_asked_once_more(ready, proxy):
    """The caller is told so, and the breaker is not, for the second time may succeed."""
    proxy.cut_after(3)
    failed = ready.straight.ask(QUESTION, 5)
    assert isinstance(failed, Failed) and isinstance(failed.error, redis.ConnectionError)
    assert failed.trouble is None and 0 < failed.deadline.remaining() < 5
    proxy.heal()
    assert ready.execute(Call(QUESTION, failed.deadline, False)) == [b"one", None, None]
    assert ready.breaker_state() is BreakerState.CLOSED


def test_silence_ends_with_the_deadline_and_opens_the_breaker(ready, proxy):
    """As by a step: a whole deadline without a byte."""
    proxy.blackhole()
    began = time.monotonic()
    failed = ready.straight.ask(QUESTION, 0.2)
    took = time.monotonic() - began
    assert isinstance(failed, Failed) and failed.trouble is not None
    assert failed.trouble.kind is ErrorType.TIMEOUT and failed.trouble.silent
    assert 0.19 < took < 2
    assert ready.breaker_state() is BreakerState.OPEN
    assert ready.straight.ask(QUESTION, 0.2) is NOT_NOW


def test_no_late_reply_meets_the_next_question(ready, proxy):
    """The connection of a question that was given up is closed."""
    proxy.delay(0.1)
    failed = ready.straight.ask(("MGET", "a"), 0.01)
    assert isinstance(failed, Failed) and failed.trouble is not None
    accepted = proxy.tally.accepted
    proxy.heal()
    give_up = time.monotonic() + 10
    while (found := _asked(ready, ("MGET", "b"))) is None:
        assert time.monotonic() < give_up
    assert found == [b"two"] and proxy.tally.accepted == accepted + 1


def _asked(store, question):
    """The answer to a step; None while the breaker lets nobody through."""
    try:
        return store.execute(Call(question, Deadline(CLOCK, 5), True))
    except StoreError:
        return None


def test_slow_answers_count_against_the_server(ready, proxy):
    """Three that took most of their deadline open the breaker."""
    proxy.delay(0.2)
    for _ in range(3):
        assert ready.straight.ask(QUESTION, 0.24) == [b"one", None, None]
    assert ready.breaker_state() is BreakerState.OPEN


def test_callers_who_wait_are_served_first(filled):
    """Nobody overtakes the queue for a place, and a place that comes back wakes the next one."""
    store = _open(filled.url, max_connections=1)
    store.execute(Call(("PING",), Deadline(CLOCK, 5), True))
    rack = store._path._rack
    place = rack.take(store._guard.admit(Deadline(CLOCK, 5)))
    found = []
    waiting = threading.Thread(
        target=lambda: found.append(store.execute(Call(("MGET", "a"), Deadline(CLOCK, 10), True)))
    )
    waiting.start()
    give_up = time.monotonic() + 10
    while not rack.waiting:
        assert time.monotonic() < give_up
    assert store.straight.ask(QUESTION, 5) is NOT_NOW
    rack.give_back(place)
    waiting.join(10)
    assert found == [[b"one"]]
    store.close()
