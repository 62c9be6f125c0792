"""Where each part goes, and where it goes next: redirections, slots on their way, connections that broke.

A generator for both twins: it yields what goes out together, or that the map is to be looked at again.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final, Protocol

import redis
from redis.exceptions import AskError, ClusterDownError, MovedError, NoScriptError, TryAgainError

from cache.core.steps import Arg, StoreStep
from cache.errors import StoreError
from cache.stores.cluster.splitting import is_birth, split
from cache.stores.cluster.topology import Place, Topology, read_epoch
from cache.stores.cluster.words import Answer, Ask, Part, Spot
from telemetry.vocabulary import ErrorType

TRIES = 5
"""How often a part is sent at most: a redirection, another one after the map was looked at, a script's text."""


class LookAgain:
    """A request: bring the map of the cluster up to date."""


LOOK_AGAIN: Final = LookAgain()

Request = list[Ask] | LookAgain
Route = Generator[Request, Any, Any]
"""Yields requests; is sent a list of replies, troubles as exceptions, or the map; returns the step's reply."""


class Advice(Protocol):
    """What is known beside the map."""

    def pick(self, key: Arg, replicas: Sequence[Place]) -> Place | None:
        """A replica that may be asked; None when there is none, or the key is none that replicas are asked for."""
        ...

    def doubter(self, topology: Topology, asks: Sequence[Ask]) -> Ask | None:
        """A question how much the cluster has heard, when it is time for one; it goes out beside others."""
        ...


class _Changed(Exception):
    """Other servers than at the beginning: what was answered until now may be of those that are gone."""


def operate(step: StoreStep, topology: Topology, advice: Advice) -> Route:
    """Carry out a step; once more from its beginning where that is harmless and the servers changed meanwhile.

    Returns:
        The reply, and the map that it was given under.

    Raises:
        StoreError, redis.RedisError: it failed.
    """
    for last in (False, True):
        routes = _Routes(topology, advice)
        try:
            return (yield from _once(step, routes)), routes.topology
        except _Changed:
            if last or not step.idempotent:
                raise StoreError(ErrorType.REFUSED, "the servers changed meanwhile") from None
            topology = routes.topology
    raise AssertionError("the second time it returns or raises")


def _once(step: StoreStep, routes: _Routes) -> Route:
    if is_birth(step):
        # who made the last one may know more than we
        yield from routes.look_again()
    plan = split(step, routes.topology)
    try:
        parts = next(plan)
        while True:
            parts = plan.send((yield from routes.carry_out(parts)))
    except StopIteration as end:
        return end.value


class _Routes:
    """Sends parts until each has its answer.

    Args:
        topology: the map at the beginning.
    """

    def __init__(self, topology: Topology, advice: Advice) -> None:
        self.topology, self._advice = topology, advice

    def carry_out(self, parts: Sequence[Part]) -> Generator[Request, Any, list[Answer]]:
        """The parts' answers in their order."""
        spots: list[Spot | Answer] = [self._first(part) for part in parts]
        for tried in range(1, TRIES + 1):
            out = [i for i, spot in enumerate(spots) if isinstance(spot, Spot)]
            if not out:
                break
            replies = yield from self._send([Ask(spots[i], parts[i].args, parts[i].script) for i in out])  # type: ignore[arg-type]
            for i, reply in zip(out, replies, strict=True):
                spot: Any = spots[i]
                spots[i] = Answer(reply, spot)
                if isinstance(reply, Exception) and tried < TRIES:
                    spots[i] = yield from self._next(parts[i], spot, reply, first=tried == 1)
        return spots  # type: ignore[return-value]

    def _send(self, asks: list[Ask]) -> Generator[Request, Any, list[Any]]:
        """The replies; when the cluster has heard more than we, the map is looked at first."""
        doubter = self._advice.doubter(self.topology, asks)
        if doubter is None:
            replies: list[Any] = yield asks
            return replies
        *replies, told = yield [*asks, doubter]
        if (read_epoch(told) or 0) > self.topology.view.epoch:
            yield from self.look_again()
        return replies

    def _first(self, part: Part) -> Spot | Answer:
        if part.at is not None:
            return part.at
        place = self.topology.primary(part.key or "")
        if place is None:
            return Answer(StoreError(ErrorType.REFUSED, "a slot without a server", sent_nothing=True), Spot(_NOWHERE))
        replica = self._advice.pick(part.key or "", self.topology.replicas(place)) if part.replica else None
        return Spot(place) if replica is None else Spot(replica, reading=True)

    def _next(
        self, part: Part, spot: Spot, trouble: Exception, *, first: bool
    ) -> Generator[Request, Any, Spot | Answer]:
        """Where a part goes after its trouble, or that this is its answer."""
        if isinstance(trouble, NoScriptError):
            return spot
        if isinstance(trouble, AskError | TryAgainError):
            if part.at is not None:
                return Answer(StoreError(ErrorType.REFUSED, "the slot is moving"), spot)
            return (yield from self._redirected(spot, trouble))
        if spot.reading:
            # whatever ails a replica, its primary knows
            return self._first(part._replace(replica=False))
        if first and part.at is None and isinstance(trouble, StoreError) and _may_go_again(part, trouble):
            yield from self.look_again()
            return self._first(part)
        return Answer(trouble, spot)

    def _redirected(self, spot: Spot, trouble: AskError | TryAgainError) -> Generator[Request, Any, Spot]:
        """Where a part is sent to; a primary that the map does not have is met before it is believed."""
        if isinstance(trouble, TryAgainError):
            return spot
        # who does not know its own address means itself
        place = Place(trouble.host or spot.place.host, trouble.port)
        if not isinstance(trouble, MovedError):
            return Spot(place, asking=True)
        if place not in self.topology.ids:
            yield from self.look_again()
            if place not in self.topology.ids:
                raise StoreError(ErrorType.REFUSED, "moved to a stranger")
        return Spot(place)

    def look_again(self) -> Generator[Request, Any, None]:
        """Bring the map up to date.

        Raises:
            _Changed: there are other servers now.
        """
        before = self.topology
        self.topology = yield LOOK_AGAIN
        if self.topology.identity != before.identity:
            raise _Changed


_NOWHERE = Place("", 0)


def _may_go_again(part: Part, trouble: StoreError) -> bool:
    return trouble.kind is ErrorType.REFUSED and (trouble.sent_nothing or part.again)


def is_about_the_map(reply: Any) -> bool:
    """Whether a reply says that the map is out of date, or may be soon."""
    return isinstance(reply, MovedError | ClusterDownError | StoreError) or (
        isinstance(reply, redis.ResponseError) and str(reply).startswith("CLUSTERDOWN")
    )
