"""The circuit breaker's rules, on a clock that ticks by hand."""

from __future__ import annotations

import threading

import pytest

from cache.core.breaker import COUNTED, LOST_S, Breaker, BreakerOptions, Permit
from cache.testing.clock import ManualClock
from telemetry.vocabulary import BREAKER_GAUGE, BreakerState, ErrorType

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def told():
    return []


@pytest.fixture
def breaker(clock, told):
    """A breaker without jitter."""
    return Breaker(clock, told.append, BreakerOptions(), rand=lambda: 0.0)


def test_the_third_failure_in_ten_seconds_opens_it(breaker, clock, told):
    """Two do not, nor a third that comes when the first is forgotten."""
    breaker.failed(Permit.FREE)
    clock.tick(9)
    breaker.failed(Permit.FREE)
    clock.tick(2)
    breaker.failed(Permit.FREE)
    assert breaker.state is CLOSED

    breaker.failed(Permit.FREE)

    assert breaker.state is OPEN
    assert told == [OPEN]


def test_one_silent_call_opens_it(breaker, told):
    """A whole deadline without a byte is enough."""
    breaker.failed(Permit.FREE, silent=True)

    assert told == [OPEN]


def test_successes_between_failures_do_not_hide_them(breaker):
    """Three failures in the window open it, whatever else succeeded."""
    for _ in range(3):
        breaker.failed(Permit.FREE)
        breaker.succeeded(Permit.FREE)

    assert breaker.state is OPEN


def test_one_caller_probes_when_the_pause_is_over(breaker, clock):
    """The others are refused until it is known how the probe ended."""
    breaker.failed(Permit.FREE, silent=True)
    clock.tick(0.099)
    assert breaker.enter() is Permit.REFUSED

    clock.tick(0.002)

    assert [breaker.enter() for _ in range(3)] == [Permit.PROBE, Permit.REFUSED, Permit.REFUSED]
    assert breaker.state is HALF_OPEN


def test_an_answered_probe_closes_it(breaker, clock, told):
    """From then on everybody may go, and old failures are forgotten."""
    breaker.failed(Permit.FREE, silent=True)
    clock.tick(0.1)
    breaker.succeeded(breaker.enter())
    breaker.failed(Permit.FREE)
    breaker.failed(Permit.FREE)

    assert breaker.enter() is Permit.FREE
    assert told == [OPEN, HALF_OPEN, CLOSED]


def test_the_pause_doubles_to_one_second(breaker, clock):
    """100, 200, 400, 800 ms, then one second each."""
    breaker.failed(Permit.FREE, silent=True)
    pauses = []
    for _ in range(7):
        waited = 0
        while breaker.enter() is Permit.REFUSED:
            clock.tick(0.01)
            waited += 1
        pauses.append(waited * 10)
        breaker.failed(Permit.PROBE)

    assert pauses == pytest.approx([100, 200, 400, 800, 1000, 1000, 1000], abs=10)


def test_after_it_closed_the_pause_begins_anew(breaker, clock):
    """A new trouble is probed after 100 ms again."""
    breaker.failed(Permit.FREE, silent=True)
    clock.tick(0.1)
    breaker.failed(breaker.enter())
    clock.tick(0.2)
    breaker.succeeded(breaker.enter())
    breaker.failed(Permit.FREE, silent=True)
    clock.tick(0.1)

    assert breaker.enter() is Permit.PROBE


def test_jitter_shortens_a_pause_only(clock, told):
    """By a fifth at most."""
    breaker = Breaker(clock, told.append, BreakerOptions(), rand=lambda: 1.0)
    breaker.failed(Permit.FREE, silent=True)
    clock.tick(0.079)
    assert breaker.enter() is Permit.REFUSED

    clock.tick(0.002)

    assert breaker.enter() is Permit.PROBE


def test_a_cancelled_probe_lets_the_next_caller_probe(breaker, clock):
    """A call that says nothing about the server leaves the breaker half-open."""
    breaker.failed(Permit.FREE, silent=True)
    clock.tick(0.1)
    breaker.abandoned(breaker.enter())

    assert breaker.state is HALF_OPEN
    assert breaker.enter() is Permit.PROBE


def test_calls_that_were_under_way_when_it_opened_change_nothing(breaker, told):
    """Neither their success nor their failure."""
    breaker.failed(Permit.FREE, silent=True)
    breaker.succeeded(Permit.FREE)
    breaker.failed(Permit.FREE, silent=True)

    assert told == [OPEN]


def test_changes_are_told_outside_of_the_lock_in_order(clock):
    """A listener may ask the breaker, and even make it change again."""
    told = []

    def listen(state):
        told.append((state, breaker.state))
        if state is OPEN:
            clock.tick(1)
            assert breaker.enter() is Permit.PROBE

    breaker = Breaker(clock, listen, rand=lambda: 0.0)
    breaker.failed(Permit.FREE, silent=True)

    assert told == [(OPEN, OPEN), (HALF_OPEN, HALF_OPEN)]


def test_many_threads_give_one_probe_and_one_telling(clock, told):
    """Whatever the race, each change is told once."""
    breaker = Breaker(clock, told.append, rand=lambda: 0.0)
    breaker.failed(Permit.FREE, silent=True)
    clock.tick(1)
    permits, start = [], threading.Barrier(16)

    def race():
        start.wait()
        permits.append(breaker.enter())

    threads = [threading.Thread(target=race) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert permits.count(Permit.PROBE) == 1
    assert told == [OPEN, HALF_OPEN]


def test_it_begins_closed_and_lets_everybody_go(breaker, told):
    """Before any trouble nobody is refused and nothing is told."""
    assert [breaker.enter() for _ in range(5)] == [Permit.FREE] * 5
    assert (breaker.state, told) == (CLOSED, [])


def test_the_window_is_ten_seconds_to_the_end(clock):
    """Three failures exactly ten seconds apart open it, a little more do not."""
    states = []
    for apart in (10.0, 10.001):
        breaker = Breaker(clock, lambda _: None, rand=lambda: 0.0)
        breaker.failed(Permit.FREE)
        breaker.failed(Permit.FREE)
        clock.tick(apart)
        breaker.failed(Permit.FREE)
        states.append(breaker.state)

    assert states == [OPEN, CLOSED]


def test_an_unanswered_probe_opens_it_again(breaker, clock, told):
    """Everybody is refused until the doubled pause is over."""
    breaker.failed(Permit.FREE, silent=True)
    clock.tick(0.1)
    breaker.failed(breaker.enter())
    clock.tick(0.199)
    assert breaker.enter() is Permit.REFUSED

    clock.tick(0.002)

    assert breaker.enter() is Permit.PROBE
    assert told == [OPEN, HALF_OPEN, OPEN, HALF_OPEN]


def test_a_cancelled_free_call_says_nothing(breaker, clock, told):
    """Neither in a closed breaker nor while somebody else probes."""
    for _ in range(5):
        breaker.abandoned(Permit.FREE)
    breaker.failed(Permit.FREE, silent=True)
    clock.tick(0.1)
    breaker.enter()
    breaker.abandoned(Permit.FREE)

    assert breaker.enter() is Permit.REFUSED
    assert told == [OPEN, HALF_OPEN]


def test_late_calls_do_not_decide_for_the_probe(breaker, clock):
    """A call from before the trouble, however it ends, leaves a half-open breaker as it is."""
    breaker.failed(Permit.FREE, silent=True)
    clock.tick(0.1)
    breaker.enter()
    breaker.succeeded(Permit.FREE)
    breaker.failed(Permit.FREE, silent=True)

    assert breaker.state is HALF_OPEN
    assert breaker.enter() is Permit.REFUSED


def test_a_forked_child_may_probe(breaker, clock):
    """The parent's probe will never report to it."""
    breaker.failed(Permit.FREE, silent=True)
    clock.tick(0.1)
    breaker.enter()
    breaker.begin_anew()

    assert breaker.enter() is Permit.PROBE


def test_a_listener_that_raises_stops_no_later_telling(clock):
    """The breaker's own state is right, and the next change is told."""
    told = []

    def listen(state):
        told.append(state)
        if state is OPEN:
            raise RuntimeError("a broken listener")

    breaker = Breaker(clock, listen, rand=lambda: 0.0)
    with pytest.raises(RuntimeError, match="broken"):
        breaker.failed(Permit.FREE, silent=True)
    clock.tick(0.1)
    breaker.succeeded(breaker.enter())

    assert told == [OPEN, HALF_OPEN, CLOSED]
    assert breaker.state is CLOSED


def test_options_are_heeded(clock, told):
    """One failure, another pause, no doubling beyond the last."""
    options = BreakerOptions(failures=1, first_pause_s=5.0, last_pause_s=6.0, jitter=0.0)
    breaker = Breaker(clock, told.append, options)
    breaker.failed(Permit.FREE)
    clock.tick(5)
    breaker.failed(breaker.enter())
    clock.tick(5.9)
    assert breaker.enter() is Permit.REFUSED

    clock.tick(0.2)

    assert breaker.enter() is Permit.PROBE


def test_only_trouble_with_the_whole_store_counts():
    """Refusals of a single command do not open a breaker; each state has a number for the gauge."""
    assert not COUNTED & {ErrorType.NOPERM, ErrorType.OOM, ErrorType.READONLY, ErrorType.DECODE}
    assert {ErrorType.TIMEOUT, ErrorType.REFUSED, ErrorType.LOADING} <= COUNTED
    assert BREAKER_GAUGE == {CLOSED: 0, HALF_OPEN: 1, OPEN: 2}


def test_a_probe_that_tells_nothing_is_lost(breaker, clock):
    """An interrupt between permission and call keeps nobody out for ever; a late word of that probe is heard."""
    breaker.failed(Permit.FREE, silent=True)
    clock.tick(0.1)
    assert breaker.enter() is Permit.PROBE
    clock.tick(LOST_S - 0.1)
    assert breaker.enter() is Permit.REFUSED
    clock.tick(0.2)

    assert breaker.enter() is Permit.PROBE
    assert breaker.enter() is Permit.REFUSED
    breaker.succeeded(Permit.PROBE)
    assert breaker.state is CLOSED


def test_probes_may_take_longer_one_after_the_other(breaker, clock):
    """The first has a tenth of its deadline, and in the end each has all of it."""
    breaker.failed(Permit.FREE, silent=True)
    shares = []
    for _ in range(6):
        shares.append(breaker.patience)
        clock.tick(1.1)
        assert breaker.enter() is Permit.PROBE
        breaker.failed(Permit.PROBE)

    assert shares == pytest.approx([0.1, 0.2, 0.4, 0.8, 1, 1])


def test_it_says_beforehand_whom_it_would_let_go(breaker, clock):
    """All while it is closed, nobody during a pause or beside a probe, and the next one after either."""
    assert breaker.is_due
    breaker.failed(Permit.FREE, silent=True)
    assert not breaker.is_due
    clock.tick(0.1)
    assert breaker.is_due
    assert breaker.enter() is Permit.PROBE
    assert not breaker.is_due
    clock.tick(LOST_S)
    assert breaker.is_due
