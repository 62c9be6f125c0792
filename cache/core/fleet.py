"""One computation per fleet: a short lock in Redis; who does not get it polls for the value, for a bounded time.

The lock carries the ids of its holder's span behind a random token, so that who waits knows for whom.
The lock only saves work. What is right or wrong is decided by the fences alone, so a lock
that expires early, or is lost, costs a second computation and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cache.core import keys
from cache.core.ask import Ask, from_entry
from cache.core.codecs import Encoded
from cache.core.engine import Operation
from cache.core.flights import Flight, FlightState
from cache.core.healing import heal
from cache.core.making import expect_list
from cache.core.reading import look, look_on
from cache.core.scripts import RELEASE
from cache.core.steps import Call, Pause, RunScript
from cache.errors import StoreError
from telemetry import carried
from telemetry.vocabulary import ErrorType, FlightScope

TOKEN_BYTES = 16
"""Random bytes that tell one holder of a lock from another."""

FIRST_POLL_S, LAST_POLL_S = 0.005, 0.02
"""Pauses between polls double from the first to the last."""

Produce = Callable[[Ask, Flight], Operation[Any]]


def lead(ask: Ask, flight: Flight, produce: Produce) -> Operation[Any]:
    """Lead the process's flight as one of the fleet: compute with the lock, or bring home what another computed."""
    recorder = ask.engine.recorder
    token = ask.engine.tokens(TOKEN_BYTES) + carried.packed(recorder.current_span_context())
    try:
        held = yield from _turn(ask, token)
    except StoreError as trouble:
        ask.engine.failed(ask.event, trouble)
        return (yield from produce(ask, flight))
    try:
        if ask.found is not None and ask.found.reason is None and ask.found.entry is not None:
            item = ask.found.entry
            flight.cost_s = item.cost_s
            flight.end(FlightState.LANDED, result=Encoded(item.codec, item.compressed, item.payload))
            value = from_entry(ask)
        else:
            value = yield from produce(ask, flight)
    except GeneratorExit:
        raise
    except BaseException:
        yield from _release(ask, token, held)
        raise
    yield from _release(ask, token, held)
    return value


def _turn(ask: Ask, token: bytes) -> Operation[bool]:
    """Wait until there is a value, or the lock is ours, or the policy's time is over; True with the lock.

    Raises:
        StoreError: the store stopped answering.
    """
    engine, began, pause = ask.engine, ask.engine.clock.monotonic(), FIRST_POLL_S
    holder = yield from _take(ask, token)
    if holder is None:
        yield from _look_again(ask)
        return True
    with engine.recorder.wait(ask.event, FlightScope.FLEET, _leader(holder, token)) as waiting:
        while engine.clock.monotonic() - began < ask.policy.wait_s:
            yield Pause(pause)
            pause = min(2 * pause, LAST_POLL_S)
            try:
                holder = yield from _look_at_both(ask)
            except StoreError as trouble:
                if trouble.kind is not ErrorType.TIMEOUT:
                    raise
                continue
            waiting.follows(_leader(holder, token))
            if ask.found is not None and ask.found.reason is None:
                return holder == token
            if holder == token or (holder is None and (yield from _take(ask, token)) is None):
                yield from _look_again(ask)
                return True
    return False


def _leader(holder: bytes | None, token: bytes) -> Any:
    """The span of another's that holds the lock; None where that is not known."""
    return None if holder is None or holder == token else carried.unpacked(holder[TOKEN_BYTES:])


def _take(ask: Ask, token: bytes) -> Operation[bytes | None]:
    """Take the lock; None when it is ours now, else the token of who has it, empty when that is not known."""
    name = keys.lock_name(ask.wanted.address.digest, ask.engine.namespace)
    lifetime = max(1, int(ask.policy.lock_ttl_s * 1000))
    try:
        # NX and GET together: Redis 7.0 and later
        reply = yield Call(("SET", name, token, "NX", "GET", "PX", lifetime), ask.engine.writing())
    except StoreError as trouble:
        # a crowd on one loop may be what held it up: who holds the lock is seen at the next look
        if trouble.kind is not ErrorType.TIMEOUT:
            raise
        return b""
    return reply if reply is None or isinstance(reply, bytes) else b""


def _look_again(ask: Ask) -> Operation[bool]:
    """Look once more: another process may have written meanwhile; True when it has."""
    engine = ask.engine
    (ask.found,) = yield from look(engine, ask.policy, [ask.wanted], engine.reading(), prepare=True)
    return ask.found.reason is None


def _look_at_both(ask: Ask) -> Operation[bytes | None]:
    """Look once more, and at the lock by the same command; the token of who holds it."""
    engine, want, deadline = ask.engine, ask.wanted, ask.engine.reading()
    if engine.pending.some:
        yield from heal(engine, deadline)
    lock = keys.lock_name(want.address.digest, engine.namespace)
    reply = yield Call((*want.question, lock), deadline, idempotent=True)
    expect_list(reply, len(want.question))
    ask.found = yield from look_on(engine, ask.policy, want, reply[:-1], deadline, prepare=True)
    holder: bytes | None = reply[-1]
    return holder


def _release(ask: Ask, token: bytes, held: bool) -> Operation[None]:
    if not held:
        return
    name = keys.lock_name(ask.wanted.address.digest, ask.engine.namespace)
    try:
        yield RunScript(RELEASE, [name], [token], ask.engine.writing(), idempotent=True)
    except StoreError as trouble:
        ask.engine.failed(ask.event, trouble)
