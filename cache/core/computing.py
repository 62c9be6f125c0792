"""get_or_compute: look up, and on a miss let one caller compute for all who asked.

enter flight -> look -> hit: value (perhaps a refresh ahead in the background)
                     -> stale and allowed: old value, refresh in the background
                     -> miss: lead (compute, land, write) or follow (wait, take a copy)
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from cache.core import fleet
from cache.core.ask import (
    Ask,
    computed_again,
    due,
    from_entry,
    look_for,
    remember,
    run_computation,
    settle_failure,
    unwrap,
)
from cache.core.codecs import Encoded
from cache.core.engine import Engine, Operation
from cache.core.flights import Flight, FlightState
from cache.core.lookup import MISS
from cache.core.policies import Policy
from cache.core.quick import count
from cache.core.results import copy_of, draft_of, encode_result
from cache.core.sent import Sent
from cache.core.shelves import Wanted
from cache.core.steps import Background, Compute, Wait
from cache.core.ttl import seconds as ttl_seconds
from cache.core.writing import store
from telemetry.vocabulary import FlightScope, Outcome, WriteResult
from telemetry.vocabulary import Operation as Op


def get_or_compute(
    engine: Engine, category: str, key: Any, compute: Callable[[], Any], *, ttl: Any = None, tags: Sequence[str] = ()
) -> Operation[Any]:
    """The cached value, or what ``compute`` gives; the computation's own error passes unchanged."""
    shelf = engine.shelf(category)
    seconds = shelf.policy.ttl_s if ttl is None else ttl_seconds(ttl)
    return _found_or_computed(engine, shelf.policy, shelf.want(key, tags), compute, seconds)


def go_on(engine: Engine, category: str, compute: Callable[[], Any], sent: Sent) -> Operation[Any]:
    """The same of a key whose question went out already; the caller has entered its flights."""
    policy = engine.policies[category]
    return _found_or_computed(engine, policy, sent.wanted, compute, policy.ttl_s, sent)


def _found_or_computed(
    engine: Engine,
    policy: Policy,
    wanted: Wanted,
    compute: Callable[[], Any],
    seconds: float,
    sent: Sent | None = None,
) -> Operation[Any]:
    name, began = wanted.address.name, None if sent is None else sent.began
    with engine.recorder.operation(policy.name, Op.GET_OR_COMPUTE, digest=wanted.short, began=began) as event:
        ask = Ask(engine, policy, wanted, compute, seconds, event)
        if not engine.enabled:
            event.looked(Outcome.BYPASS)
            return unwrap((yield from run_computation(ask)))
        ticket = engine.flights.enter(name) if sent is None else sent.ticket
        try:
            found = yield from look_for(ask, sent)
            if isinstance(found, tuple):
                answer = count(event, found, engine.clock.time())
                yield from _check(ask)
                return answer
            ask.found = found
            answer = from_entry(ask)
            if answer is not MISS:
                if due(ask):
                    # what caused it is known here and now; the refresh runs elsewhere, later
                    cause = engine.recorder.current_span_context()
                    yield Background(lambda: refresh(ask, cause))
                elif found is not None and found.reason is None:
                    yield from _check(ask)
                return answer
            return (yield from _fly(ask, ticket))
        finally:
            engine.flights.leave(name)


def _check(ask: Ask) -> Operation[None]:
    """Now and then, have a hit computed again in the background."""
    checks, policy = ask.engine.checks, ask.policy
    if checks is None or policy.name not in checks.categories:
        return
    checks.left -= 1
    if checks.left < 0:
        check = checks.chosen(ask.engine, policy, ask.wanted, ask.compute)
        if check is not None and not (yield Background(check)):
            check.left()


def bypass(engine: Engine, category: str, compute: Callable[[], Any]) -> Operation[Any]:
    """Run a computation whose key cannot be made, uncached, and count it so."""
    policy = engine.policies[category]
    with engine.recorder.operation(policy.name, Op.GET_OR_COMPUTE) as event:
        event.looked(Outcome.BYPASS)
        with engine.recorder.compute(event):
            return unwrap((yield Compute(compute)))


def _fly(ask: Ask, ticket: int) -> Operation[Any]:
    """Lead the flight of this key or follow it, until there is a value."""
    engine, name = ask.engine, ask.wanted.address.name
    remembered = engine.failures.recent(name, engine.clock.monotonic())
    if remembered is not None and isinstance(remembered, ask.policy.negative_on):
        ask.missed()
        ask.event.failed = True
        raise remembered
    if ask.found is not None:
        seen: Hashable = (*ask.found.fence.scopes, ask.found.fence.own)
    else:
        # who saw nothing joins whoever is computing: an invalidation of this process has sent those flights away
        seen = engine.flights.flying(name) or "outage"
    if (name, seen) in engine.flights.led.get():
        ask.missed()
        return unwrap((yield from run_computation(ask)))
    while True:
        flight, leads = engine.flights.join(name, seen, ticket, engine.recorder.current_span())
        if leads:
            return (yield from _lead(ask, flight, (name, seen)))
        with engine.recorder.wait(ask.event, FlightScope.PROCESS, flight.leader):
            yield Wait(flight, ask.policy.wait_s)
        if flight.state is not FlightState.ABANDONED:
            return (yield from _follow(ask, flight))


def _follow(ask: Ask, flight: Flight) -> Operation[Any]:
    """Take the flight's result; one that is not there in time, or cannot be copied, is computed again."""
    if flight.state is FlightState.FAILED and flight.error is not None:
        return settle_failure(ask, flight.error)
    if flight.state is FlightState.LANDED and isinstance(flight.result, Encoded):
        ask.missed()
        ask.event.shared_s += flight.cost_s
        return copy_of(ask.policy, flight.result)
    ask.missed()
    return unwrap((yield from run_computation(ask)))


def _lead(ask: Ask, flight: Flight, mark: Hashable) -> Operation[Any]:
    """Compute for everybody who follows; a leader that is cancelled hands over."""
    led = ask.engine.flights.led
    token = led.set(led.get() | {mark})
    try:
        if ask.policy.fleet and ask.found is not None:
            return (yield from fleet.lead(ask, flight, produce))
        return (yield from produce(ask, flight))
    finally:
        flight.end(FlightState.ABANDONED)
        ask.engine.flights.settle(flight)
        led.reset(token)


def produce(ask: Ask, flight: Flight) -> Operation[Any]:
    """Compute, hand the value to the followers, write it."""
    began = ask.engine.clock.time()
    try:
        result = yield from run_computation(ask)
    except Exception as error:
        remember(ask, error)
        flight.end(FlightState.FAILED, error=error)
        return settle_failure(ask, error)
    ask.engine.failures.forget(ask.wanted.address.name)
    ask.missed()
    computed_again(ask, ask.event.compute_s)
    value, encoded = encode_result(ask.policy, result, ask.event, began)
    flight.cost_s = ask.event.compute_s
    flight.end(FlightState.LANDED, result=encoded)
    if encoded is not None and ask.found is not None and ask.found.trouble is None:
        draft = draft_of(ask.wanted, encoded, result, ask.seconds, ask.event.compute_s, ask.found.fence)
        yield from store(ask.engine, ask.policy, [draft], ask.event)
    elif encoded is not None:
        ask.event.wrote(WriteResult.DROPPED)
    return value


def refresh(ask: Ask, cause: Any) -> Operation[None]:
    """Make an entry anew in the background, under a span of its own; its failure reaches nobody."""
    engine, name = ask.engine, ask.wanted.address.name
    if ask.found is None:
        return
    fence = ask.found.fence
    flight, leads = engine.flights.join(name, ("refresh", fence.scopes), engine.flights.enter(name))
    try:
        if not leads:
            return
        with engine.recorder.refresh(ask.policy.name, cause):
            with engine.recorder.operation(ask.policy.name, Op.SET, digest=ask.wanted.short) as event:
                again = Ask(engine, ask.policy, ask.wanted, ask.compute, ask.seconds, event, ask.found)
                began = engine.clock.time()
                try:
                    result = yield from run_computation(again)
                except Exception as error:
                    remember(again, error)
                    return
                computed_again(again, event.compute_s)
                _, encoded = encode_result(ask.policy, result, event, began)
                if encoded is not None:
                    draft = draft_of(ask.wanted, encoded, result, ask.seconds, event.compute_s, fence)
                    yield from store(engine, ask.policy, [draft], event)
    finally:
        if leads:
            flight.end(FlightState.ABANDONED)
            engine.flights.settle(flight)
        engine.flights.leave(name)
