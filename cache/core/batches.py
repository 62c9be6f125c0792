"""get_or_compute for many keys: one look, one computation for all that is missing, one write.

Keys that another caller is computing are waited for after our own have landed, so two
batches that overlap never wait for each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from cache.core.ask import Ask, computed_again, from_entry, serve_stale, unwrap
from cache.core.codecs import Encoded
from cache.core.engine import Engine, Operation
from cache.core.flights import Flight, FlightState
from cache.core.lookup import MISS
from cache.core.policies import Policy
from cache.core.reading import look_over
from cache.core.results import copy_of, draft_of, encode_result
from cache.core.shelves import Wanted
from cache.core.steps import Compute, Wait
from cache.core.verdicts import Found
from cache.core.writing import Terms, store
from cache.errors import CacheValueError, StoreError
from telemetry.events import OperationEvent
from telemetry.vocabulary import FlightScope, Outcome, WriteResult
from telemetry.vocabulary import Operation as Op

ComputeMany = Callable[[list[Any]], Any]


@dataclass(slots=True)
class _Batch:
    """One call on its way: a row for each different key."""

    engine: Engine
    policy: Policy
    seconds: float
    event: OperationEvent
    compute_many: ComputeMany
    keys: dict[str, Any]
    wanted: dict[str, Wanted]
    times: Counter[str]
    found: dict[str, Found] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    def ask(self, name: str) -> Ask:
        """The row as a call of its own, for what single calls and batches decide alike."""
        found, times = self.found.get(name), self.times[name]
        return Ask(self.engine, self.policy, self.wanted[name], _never, self.seconds, self.event, found, times)

    def seen(self, name: str) -> Hashable:
        """What the row's flight is shared under."""
        found = self.found.get(name)
        return (*found.fence.scopes, found.fence.own) if found is not None else "outage"


def _never() -> None:
    raise AssertionError("a row of a batch has no computation of its own")


def get_or_compute_many(
    engine: Engine,
    category: str,
    keys: Sequence[Any],
    compute_many: ComputeMany,
    terms: Terms,
    operation: Op = Op.GET_OR_COMPUTE_MANY,
) -> Operation[list[Any]]:
    """The values in the order of ``keys``; ``compute_many`` is called once, with the keys that are missing.

    Args:
        operation: what it is counted as; warming is the same under another name.

    Raises:
        CacheValueError: ``compute_many`` did not give one value for each key.
    """
    policy = engine.policies[category]
    seconds = terms.seconds(policy)
    asked = list(keys)
    wanted = engine.shelf(category).want_all(asked, terms.tags)
    names = [want.address.name for want in wanted]
    rows, wants = dict(zip(names, asked, strict=True)), dict(zip(names, wanted, strict=True))
    with engine.recorder.operation(policy.name, operation, batch_size=len(asked)) as event:
        batch = _Batch(engine, policy, seconds, event, compute_many, rows, wants, Counter(names))
        if not engine.enabled:
            event.looked(Outcome.BYPASS, n=len(asked))
            results = (yield from _results(batch, list(rows))) if rows else []
            batch.values.update(zip(rows, map(unwrap, results), strict=True))
        elif rows:
            yield from _fill(batch)
        return [batch.values[name] for name in names]


def _fill(batch: _Batch) -> Operation[None]:
    flights = batch.engine.flights
    tickets = {name: flights.enter(name) for name in batch.keys}
    try:
        yield from _look(batch)
        yield from _fly(batch, tickets)
    finally:
        for name in tickets:
            flights.leave(name)


def _look(batch: _Batch) -> Operation[None]:
    engine, wanted = batch.engine, list(batch.wanted.values())
    try:
        swept = yield from look_over(engine, batch.policy, wanted, engine.reading(), prepare=True)
    except StoreError as trouble:
        batch.engine.failed(batch.event, trouble)
        return
    names = list(batch.wanted)
    swept.count(batch.event)
    batch.values.update((name, value) for name, value in zip(names, swept.values, strict=True) if value is not MISS)
    if len(batch.times) != batch.times.total():
        again = sum(batch.times[name] - 1 for name in batch.values)
        batch.event.looked(Outcome.HIT, tier=swept.tier, n=again)
    for place, item in swept.found.items():
        name = names[place]
        batch.found[name] = item
        if item.trouble is not None:
            batch.engine.failed(batch.event, item.trouble)
        if item.reason is None:
            batch.values[name] = from_entry(batch.ask(name))


def _fly(batch: _Batch, tickets: dict[str, int]) -> Operation[None]:
    """Compute what nobody else is computing, then take what others did, then compute what is left."""
    flights, leader = batch.engine.flights, batch.engine.recorder.current_span_context()
    led: dict[str, Flight | None] = {}
    followed: dict[str, Flight] = {}
    for name in batch.keys:
        if name in batch.values:
            continue
        if (name, batch.seen(name)) in flights.led.get():
            led[name] = None
            continue
        flight, leads = flights.join(name, batch.seen(name), tickets[name], leader)
        if leads:
            led[name] = flight
        else:
            followed[name] = flight
    try:
        yield from _compute(batch, led)
    except Exception:
        for name in followed:
            batch.ask(name).missed()
        raise
    for name, flight in followed.items():
        yield from _follow(batch, name, flight)
    yield from _compute(batch, {name: None for name in followed if name not in batch.values})


def _follow(batch: _Batch, name: str, flight: Flight) -> Operation[None]:
    if flight.state is FlightState.FLYING:
        digest = batch.wanted[name].short
        with batch.engine.recorder.wait(batch.event, FlightScope.PROCESS, flight.leader, digest):
            yield Wait(flight, batch.policy.wait_s)
    if flight.state is FlightState.LANDED and isinstance(flight.result, Encoded):
        batch.ask(name).missed()
        batch.event.shared_s += flight.cost_s
        batch.values[name] = copy_of(batch.policy, flight.result)


def _compute(batch: _Batch, led: dict[str, Flight | None]) -> Operation[None]:
    """One computation for the rows of ``led``; their flights end with it, whatever happens."""
    if not led:
        return
    mine = [flight for flight in led.values() if flight is not None]
    mark = batch.engine.flights.led
    token = mark.set(mark.get() | {(name, batch.seen(name)) for name in led})
    began = batch.engine.clock.time()
    try:
        results = yield from _results(batch, list(led))
        yield from _keep(batch, dict(zip(led, results, strict=True)), led, began)
    except Exception as error:
        for flight in mine:
            flight.end(FlightState.FAILED, error=error)
        _serve_stale_or_raise(batch, list(led), error)
    finally:
        for flight in mine:
            flight.end(FlightState.ABANDONED)
            batch.engine.flights.settle(flight)
        mark.reset(token)


def _results(batch: _Batch, names: list[str]) -> Operation[list[Any]]:
    missing = [batch.keys[name] for name in names]
    with batch.engine.recorder.compute(batch.event):
        return _in_order((yield Compute(lambda: batch.compute_many(missing))), len(names))


def _in_order(answer: Any, count: int) -> list[Any]:
    """What ``compute_many`` gave as a list, one value for each key; a generator does its work here.

    Raises:
        CacheValueError: of another length, or nothing that has the keys' order.
    """
    if isinstance(answer, str | bytes | Mapping | AbstractSet) or not isinstance(answer, Iterable):
        raise CacheValueError(f"compute_many gave a {type(answer).__name__}, not one value for each key in their order")
    results = list(answer)
    if len(results) != count:
        raise CacheValueError(f"compute_many gave {len(results)} values for {count} keys")
    return results


def _keep(batch: _Batch, results: dict[str, Any], led: dict[str, Flight | None], began: float) -> Operation[None]:
    """Hand the values to the caller and the followers, write them by one script."""
    drafts, cost_s = [], batch.event.compute_s / len(results)
    for name, result in results.items():
        ask, flight = batch.ask(name), led[name]
        ask.missed()
        computed_again(ask, cost_s)
        batch.values[name], encoded = encode_result(batch.policy, result, batch.event, began)
        if flight is not None:
            flight.cost_s = cost_s
            flight.end(FlightState.LANDED, result=encoded)
        if encoded is not None and ask.found is not None and ask.found.trouble is None:
            drafts.append(draft_of(ask.wanted, encoded, result, batch.seconds, cost_s, ask.found.fence))
        elif encoded is not None:
            batch.event.wrote(WriteResult.DROPPED)
    if drafts:
        yield from store(batch.engine, batch.policy, drafts, batch.event)


def _serve_stale_or_raise(batch: _Batch, names: list[str], error: Exception) -> None:
    """Answer all rows by expired entries where the policy allows it and each has one, else raise the error."""
    expired = all((item := batch.found.get(name)) is not None and item.entry is not None for name in names)
    stale = {}
    if isinstance(error, batch.policy.stale_on) and expired:
        stale = {name: serve_stale(batch.ask(name)) for name in names}
    if not stale or any(value is MISS for value in stale.values()):
        for name in names:
            if name not in stale or stale[name] is MISS:
                batch.ask(name).missed()
        raise error
    # nothing failed for the caller: the computation's own span says what did
    batch.event.failed = False
    batch.values.update(stale)
