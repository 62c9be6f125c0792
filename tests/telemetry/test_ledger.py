"""The ledger: what one event adds, threads, forks, and the collector's interference."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from telemetry.events import OperationEvent, counted_hit
from telemetry.histogram import Histogram
from telemetry.ledger import MAX_STORES, MOST_WAITING, Ledger
from telemetry.schema import ENTRY_AGE_METRIC, OPERATION_DURATION
from telemetry.vocabulary import (
    ALL,
    MAX_REGISTERED_CATEGORIES,
    OTHER,
    BreakerState,
    ErrorType,
    FlightScope,
    MissReason,
    Operation,
    Outcome,
    Tier,
    Trigger,
    WriteResult,
)


def hit(category: str = "context") -> OperationEvent:
    event = OperationEvent(category, Operation.GET)
    event.looked(Outcome.HIT, tier=Tier.REDIS, age_s=3.0, cost_s=0.5)
    return event


def test_one_event_is_counted_in_every_table_it_speaks_of() -> None:
    """Lookups, writes, an error, waits, seconds and bytes of one operation are all there."""
    event = OperationEvent("tool", Operation.GET_OR_COMPUTE)
    event.looked(Outcome.MISS, reason=MissReason.EXPIRED)
    event.wrote(WriteResult.STORED, size=100)
    event.fail(ErrorType.TIMEOUT)
    event.fail(ErrorType.OOM)
    event.waited(FlightScope.PROCESS)
    event.compute_s, event.wait_s, event.computed = 0.5, 0.25, [(0.5, None)]
    ledger = Ledger()
    ledger.apply(event, 1.0)
    figures = ledger.figures()
    assert figures.requests == {("tool", Operation.GET_OR_COMPUTE, Outcome.MISS, None, MissReason.EXPIRED): 1}
    assert figures.writes == {("tool", WriteResult.STORED): 1}
    assert figures.errors == {("tool", Operation.GET_OR_COMPUTE, ErrorType.TIMEOUT): 1}
    assert figures.waits == {("tool", FlightScope.PROCESS): 1}
    assert figures.overhead_s == {"tool": 0.25}
    assert figures.bytes_stored == {"tool": 100}
    assert (figures.durations["tool", Outcome.MISS].count, figures.computations["tool"].count) == (1, 1)
    assert (figures.sizes["tool"].total, figures.ages) == (100, {})


def test_overhead_is_never_negative() -> None:
    """A computation that seems longer than its operation costs no negative overhead."""
    event = OperationEvent("tool", Operation.SET, compute_s=2.0)
    ledger = Ledger()
    ledger.apply(event, 1.0)
    assert ledger.figures().overhead_s == {"tool": 0.0}


def test_deletes_and_invalidations_keep_their_trigger() -> None:
    """What caused a removal is counted with it; the API is assumed when nothing is said."""
    ledger = Ledger()
    ledger.apply(OperationEvent("context", Operation.INVALIDATE, invalidations=2, trigger=Trigger.MESSAGE), 0.0)
    ledger.apply(OperationEvent("context", Operation.DELETE, deletes=1), 0.0)
    figures = ledger.figures()
    assert figures.invalidations == {("context", Trigger.MESSAGE): 2}
    assert figures.deletes == {("context", Trigger.API): 1}


def test_an_unknown_category_is_counted_as_other() -> None:
    """A name that nobody registered never becomes a label."""
    ledger = Ledger()
    ledger.apply(hit("task-abc123"), 0.0)
    assert [category for category, *_ in ledger.figures().requests] == [OTHER]


def test_the_seventeenth_category_is_other() -> None:
    """Sixteen categories can be registered beside the built-in ones, not one more."""
    ledger = Ledger()
    taken = [ledger.register_category(f"mine{n}") for n in range(MAX_REGISTERED_CATEGORIES + 1)]
    assert taken == [True] * MAX_REGISTERED_CATEGORIES + [False]
    assert (ledger.known("mine15"), ledger.known("mine16")) == ("mine15", OTHER)


def test_errors_of_an_operators_tools_are_counted_under_all() -> None:
    """An error of ``explain`` keeps its word and is counted under ``all``."""
    ledger = Ledger()
    ledger.apply(OperationEvent("tool", Operation.EXPLAIN, error=ErrorType.DECODE), 0.0)
    assert ledger.figures().errors == {(ALL, Operation.EXPLAIN, ErrorType.DECODE): 1}


def test_a_repeated_state_of_a_breaker_is_no_transition() -> None:
    """Only changes are counted; a breaker begins closed."""
    ledger = Ledger()
    states = [BreakerState.CLOSED, BreakerState.OPEN, BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED]
    assert [ledger.breaker("redis", state) for state in states] == [False, True, False, True, True]
    assert ledger.figures().transitions == dict.fromkeys(BreakerState, 1)


def test_the_names_of_stores_are_bounded() -> None:
    """From the seventeenth store on they share one name."""
    ledger = Ledger()
    for n in range(MAX_STORES + 5):
        ledger.breaker(f"store{n}", BreakerState.OPEN)
    assert len(ledger.figures().breakers) == MAX_STORES + 1
    assert OTHER in ledger.figures().breakers


def test_threads_lose_no_count() -> None:
    """Eight threads that count at once arrive at the exact sum."""
    ledger, start = Ledger(), threading.Barrier(8)

    def work() -> None:
        start.wait()
        for _ in range(500):
            ledger.apply(hit(), 0.001)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    figures = ledger.figures()
    assert figures.requests.total() == 4000
    assert figures.durations["context", Outcome.HIT].count == 4000
    assert figures.avoided_s["context"] == 2000.0


def test_what_is_added_together_is_what_would_have_been_added_one_by_one() -> None:
    """Hits with and without an age, in and out of a sampled span: sums, extremes, buckets and last exemplars."""
    together, apart = Ledger(), Ledger()
    for n in range(3 * MOST_WAITING + 7):
        event = OperationEvent("context", Operation.GET)
        age = float(n % 90) if n % 3 else None
        event.looked(Outcome.HIT, tier=Tier.REDIS, age_s=age, cost_s=0.5)
        ids = (n, 2 * n, 3 * n) if n % 5 else None
        for ledger in (together, apart):
            ledger.apply(event, n / 1024, None, ids)
        apart.figures()
    for metric in (OPERATION_DURATION, ENTRY_AGE_METRIC):
        ((labels, one),), ((same, other),) = together.series(metric), apart.series(metric)
        assert labels == same
        for part in ("counts", "total", "least", "greatest", "exemplars"):
            assert getattr(one, part) == getattr(other, part), part
    a, b = together.figures(), apart.figures()
    assert (a.requests, a.overhead_s, a.avoided_s) == (b.requests, b.overhead_s, b.avoided_s)
    assert a.requests.total() == 3 * MOST_WAITING + 7


def test_no_operation_waits_for_a_reader() -> None:
    """While the lock is held by somebody else, hits and writes are put aside, and are counted by the next reading."""
    ledger, locked, free = Ledger(), threading.Event(), threading.Event()

    def hold() -> None:
        with ledger._lock:
            locked.set()
            free.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    locked.wait()
    for _ in range(2 * MOST_WAITING):
        ledger.apply(hit(), 0.001)
    written = OperationEvent("context", Operation.SET)
    written.wrote(WriteResult.STORED, size=10)
    ledger.apply(written, 0.001)
    ledger.count(counted_hit("tool"))
    ledger.drop()
    assert holder.is_alive()
    free.set()
    holder.join()
    figures = ledger.figures()
    assert figures.requests.total() == 2 * MOST_WAITING + 1
    assert (figures.writes.total(), figures.dropped) == (1, 1)


def test_a_signals_handler_may_read_while_its_thread_adds() -> None:
    """It sees what was added before, and nobody hangs."""
    ledger, seen = Ledger(), []

    class Interrupted(int):
        """A number in whose addition a handler runs."""

        def __radd__(self, other: int) -> int:
            seen.append(ledger.figures().requests.total())
            return other + int(self)

    event = hit()
    event.lookups = dict.fromkeys(event.lookups, Interrupted(2))
    ledger.apply(event, 0.0)
    assert seen == [0] and ledger.figures().requests.total() == 2


def test_one_that_cannot_be_added_costs_none_of_those_it_waits_with() -> None:
    """All others of its kind are counted in full."""
    ledger = Ledger()
    for n in range(2 * MOST_WAITING):
        event = hit()
        if n == 5:
            event.ages_s = ["old"]  # type: ignore[list-item]
        ledger.apply(event, 0.5)
    figures = ledger.figures()
    assert (figures.requests.total(), figures.dropped) == (2 * MOST_WAITING, 1)
    assert figures.durations["context", Outcome.HIT].count == figures.ages["context"].count == 2 * MOST_WAITING - 1


def test_an_event_that_arrives_while_this_thread_is_adding_another_is_counted() -> None:
    """The collector may close an abandoned operation in the middle of an addition: both are counted, nobody hangs."""
    ledger = Ledger()

    class Interrupting(int):
        """A number whose addition is interrupted between reading the old sum and storing the new one."""

        def __radd__(self, other: int) -> int:
            ledger.apply(hit(), 0.0)
            return other + int(self)

    event = hit()
    event.lookups = dict.fromkeys(event.lookups, Interrupting(2))
    ledger.apply(event, 0.0)
    assert ledger.figures().requests.total() == 3


def test_an_event_that_cannot_be_added_is_dropped_and_counted() -> None:
    """A fault in one event costs that event alone."""
    ledger, broken = Ledger(), hit()
    broken.ages_s = [None]  # type: ignore[list-item]
    ledger.apply(broken, 0.0)
    ledger.apply(hit(), 0.0)
    assert ledger.figures().dropped == 1
    assert ledger.figures().requests.total() == 2


def test_figures_are_a_copy() -> None:
    """What is counted later does not change what was read."""
    ledger = Ledger()
    ledger.apply(hit(), 0.001)
    before = ledger.figures()
    ledger.apply(hit(), 0.001)
    assert before.requests.total() == 1
    assert before.durations["context", Outcome.HIT].count == 1
    assert ledger.figures().after(before).requests.total() == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_begins_at_zero_even_when_the_lock_was_held() -> None:
    """A child's ledger is empty, keeps the breakers' states and the TTLs, and has a lock that nobody holds."""
    ledger = Ledger()
    ledger.apply(hit(), 0.0)
    ledger.breaker("redis", BreakerState.OPEN)
    ledger.register_category("report", 30.0)
    locked, forked = threading.Event(), threading.Event()

    def hold() -> None:
        with ledger._lock:
            locked.set()
            forked.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    locked.wait()
    child = os.fork()
    if child == 0:
        status = 1
        signal.alarm(10)
        try:
            ledger.apply(hit("tool"), 0.0)
            figures = ledger.figures()
            counted = {category for category, *_ in figures.requests}
            kept = figures.breakers == {"redis": BreakerState.OPEN} and not figures.transitions
            kept = kept and figures.ttls_s == {"report": 30.0}
            status = 0 if counted == {"tool"} and kept and figures.generation == 1 else 2
        finally:
            os._exit(status)
    forked.set()
    holder.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ledger.figures().requests.total() == 1


def test_quantiles_interpolate_inside_a_bucket() -> None:
    """The median of values that share a bucket lies inside it; without values there is none."""
    histogram = Histogram((1.0, 2.0, 4.0))
    assert histogram.quantile(0.5) is None
    for value in (1.5, 1.5, 3.0, 3.0):
        histogram.record(value)
    assert histogram.quantile(0.5) == 2.0
    assert histogram.quantile(0.75) == 3.0
    histogram.record(100.0)
    assert histogram.quantile(1.0) == 4.0


def test_a_field_that_no_event_has_is_refused() -> None:
    """A word that is written wrongly is no figure that is lost in silence."""
    with pytest.raises(TypeError, match="'erorr'"):
        OperationEvent("tool", Operation.GET, erorr=ErrorType.OTHER)


def test_what_one_event_says_is_in_no_other() -> None:
    """Fields that nobody set are the class's own and cannot be written to by mistake."""
    event, other = OperationEvent("tool", Operation.GET), OperationEvent("tool", Operation.GET)
    event.wrote(WriteResult.STORED, size=1)
    event.waited(FlightScope.PROCESS)
    event.computed_in(1.0, None)
    event.looked(Outcome.HIT, age_s=1.0)
    event.deletes += 2
    empty = (other.writes, other.sizes, other.waits, other.computed, other.lookups, other.ages_s, other.deletes)
    assert not any(empty)
    with pytest.raises(AttributeError):
        other.sizes.append(1)
