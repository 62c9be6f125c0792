"""One call of get_or_compute on its way: what it wants, what it found, how its lookup is counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cache.clock import Deadline
from cache.core.engine import Engine, Operation
from cache.core.fresh import absent
from cache.core.lookup import MISS, Computed
from cache.core.noting import note
from cache.core.policies import Policy
from cache.core.quick import Hit, glance
from cache.core.reading import is_far, look, look_on, look_quickly
from cache.core.sent import Sent
from cache.core.shelves import Wanted
from cache.core.steps import Call, Compute
from cache.core.together import PATIENCE
from cache.core.verdicts import Found, decode
from cache.errors import StoreError
from telemetry.events import OperationEvent
from telemetry.vocabulary import ErrorType, MissReason, Outcome

THROTTLE_S = 1.0
"""How long a failed origin is left alone while a stale value answers for it."""


@dataclass(slots=True)
class Ask:
    """One call of get_or_compute on its way.

    Args:
        seconds: the call's TTL.
        found: the lookup's verdict; None when the store did not answer.
        times: how often the key stands in the call (a batch may repeat one).
    """

    engine: Engine
    policy: Policy
    wanted: Wanted
    compute: Callable[[], Any]
    seconds: float
    event: OperationEvent
    found: Found | None = None
    times: int = 1

    def missed(self) -> None:
        """Count this call's lookup as the miss, or the error, that it was."""
        if self.found is None:
            self.event.looked(Outcome.ERROR, n=self.times)
            note(self.engine, self.wanted, self.event, "error", self.event.error)
        else:
            self.event.missed(self.found.reason, self.found.trigger, n=self.times)
            note(self.engine, self.wanted, self.event, "miss", self.found.reason)


def look_for(ask: Ask, sent: Sent | None = None) -> Operation[Hit | Found | None]:
    """Look the key up; None when the store did not answer, which is counted."""
    engine, policy = ask.engine, ask.policy
    deadline = engine.reading() if sent is None else sent.deadline
    try:
        if sent is None and policy.refresh_ahead:
            # what may be made anew needs its fence
            found: Hit | Found
            (found,) = yield from look(engine, policy, [ask.wanted], deadline, prepare=True)
        elif sent is not None or is_far(engine, policy):
            reply = yield from (_reply(ask, deadline) if sent is None else sent.answer(engine.recorder.now()))
            if sent is not None and reply is sent.reply:
                # it was glanced at already
                hit = sent.hit
            else:
                hit = glance(engine, policy, ask.wanted, reply, engine.clock.time())
            if hit is not None:
                return hit
            miss = absent(engine, ask.wanted, reply)
            if miss is not None:
                return miss
            found = yield from look_on(engine, policy, ask.wanted, reply, deadline, prepare=True)
        else:
            found = yield from look_quickly(engine, policy, ask.wanted, deadline, prepare=True)
    except StoreError as trouble:
        engine.failed(ask.event, trouble)
        return None
    if isinstance(found, tuple):
        return found
    if found.trouble is not None:
        ask.engine.failed(ask.event, found.trouble)
    return found


def _reply(ask: Ask, deadline: Deadline) -> Operation[Any]:
    """What the store says to the key's question; a crowd asks together.

    Raises:
        StoreError: it did not answer properly.
    """
    engine, question, name = ask.engine, ask.wanted.question, ask.wanted.address.name
    end = Deadline(engine.clock, PATIENCE * engine.read_s)
    if not engine.flights.crowded(name):
        try:
            return (yield Call(question, deadline, True))
        except StoreError as trouble:
            # those who came meanwhile may have kept this loop from its reply: what they ask is worth waiting for
            if trouble.kind is not ErrorType.TIMEOUT or not engine.flights.crowded(name):
                raise
    return (yield from engine.questions.ask(question, engine.clock, engine.read_s, end))


def from_entry(ask: Ask) -> Any:
    """The value of a hit or of an expired entry that may serve; counts it. ``MISS`` when there is none."""
    engine, found = ask.engine, ask.found
    if found is None or found.entry is None:
        return MISS
    item = found.entry
    age = max(0.0, engine.clock.time() - item.created)
    if found.reason is None:
        ask.event.looked(Outcome.HIT, tier=found.tier, n=ask.times, age_s=age, cost_s=item.cost_s)
        ask.event.ttl_s = max(0.0, item.expires - engine.clock.time())
        return found.value
    if ask.policy.serve_stale or throttled(ask):
        return serve_stale(ask)
    return MISS


def throttled(ask: Ask) -> bool:
    """True when the origin failed a moment ago in a way that a stale value may answer."""
    if not ask.policy.stale_on:
        return False
    error = ask.engine.failures.recent(ask.wanted.address.name, ask.engine.clock.monotonic())
    return isinstance(error, ask.policy.stale_on)


def serve_stale(ask: Ask) -> Any:
    """The expired entry's value, counted as ``stale``; ``MISS`` when there is none that decodes."""
    found = ask.found
    if found is None or found.entry is None or found.reason is not MissReason.EXPIRED:
        return MISS
    item = found.entry
    decode(ask.policy, found)
    if found.value is not MISS:
        age = max(0.0, ask.engine.clock.time() - item.created)
        ask.event.looked(Outcome.STALE, tier=found.tier, n=ask.times, age_s=age, cost_s=item.cost_s)
        note(ask.engine, ask.wanted, ask.event, "stale")
    return found.value


def due(ask: Ask) -> bool:
    """True when the answer came from an entry that should be made anew in the background."""
    found = ask.found
    if found is None or found.entry is None or throttled(ask):
        return False
    if found.reason is MissReason.EXPIRED:
        return ask.policy.serve_stale
    item, ahead = found.entry, ask.policy.refresh_ahead
    return bool(ahead) and item.expires - ask.engine.clock.time() < ahead * (item.expires - item.created)


def settle_failure(ask: Ask, error: Exception) -> Any:
    """Answer a computation's failure by a stale value where the policy says so.

    Raises:
        Exception: the computation's own error, unchanged, when nothing may answer for it.
    """
    if isinstance(error, ask.policy.stale_on):
        value = serve_stale(ask)
        if value is not MISS:
            # nothing failed for the caller: the computation's own span says what did
            ask.event.failed = False
            return value
    ask.missed()
    ask.event.failed = True
    raise error


def unwrap(result: Any) -> Any:
    """The caller's value inside what a computation returned."""
    return result.value if isinstance(result, Computed) else result


def run_computation(ask: Ask) -> Operation[Any]:
    """Run the caller's computation under its own span."""
    with ask.engine.recorder.compute(ask.event):
        return (yield Compute(ask.compute))


def computed_again(ask: Ask, seconds: float) -> None:
    """Count what a key's computation took now beside what it took before, where an entry of it tells.

    Args:
        seconds: what it took now.
    """
    if ask.found is not None and ask.found.entry is not None:
        ask.event.computed_again(ask.found.entry.cost_s, seconds)


def remember(ask: Ask, error: Exception) -> None:
    """Keep a computation's failure in mind where the policy says so: negative caching, or a throttled origin."""
    policy, now = ask.policy, ask.engine.clock.monotonic()
    note(ask.engine, ask.wanted, ask.event, "failed")
    if policy.negative_ttl_s and isinstance(error, policy.negative_on):
        ask.engine.failures.remember(ask.wanted.address.name, error, now + policy.negative_ttl_s)
    elif isinstance(error, policy.stale_on):
        ask.engine.failures.remember(ask.wanted.address.name, error, now + THROTTLE_S)
