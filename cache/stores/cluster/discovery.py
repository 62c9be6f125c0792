"""Finding out who has what: a few nodes are asked at a time, the one that has heard most is believed.

A map is believed only with the names of all primaries in it. Each is asked how much it has heard, so that one that was
cut off is found out, and for the name of its data's line: a server that was demoted and promoted again has another one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from cache.errors import StoreError
from cache.stores.cluster.topology import Place, Topology, View, newest, read_epoch, read_line, read_view
from cache.stores.cluster.words import Ask, Spot
from telemetry.vocabulary import ErrorType

AT_ONCE = 3
"""How many nodes are asked at a time."""

ROUNDS = 4
"""How often somebody may have heard more than those that were asked."""

SLOTS, INFO, LINE = ("CLUSTER", "SLOTS"), ("CLUSTER", "INFO"), ("INFO", "replication")

Discovery = Generator[list[Ask], list[Any], Topology]
"""Yields what goes out together; is sent the replies, troubles as exceptions; returns what is believed."""


Names = tuple[bytes | None, bytes]
"""Eight bytes that name the running server at a place, None when it was never greeted; the name of its data's line."""


def discover(candidates: Sequence[Place], names_of: Callable[[Place], Names], heard: int = 0) -> Discovery:
    """Find the map of the cluster.

    Args:
        candidates: whom to ask, the most hopeful first.
        names_of: what is known of the server at a place.
        heard: the cluster's epoch that is known already: who knows less is not believed.

    Raises:
        StoreError: nobody answers, or one of the primaries cannot be greeted.
    """
    rest = list(candidates)
    for _ in range(ROUNDS):
        view = yield from _ask_for_a_view(rest, heard)
        primaries = view.primaries
        told = yield [Ask(Spot(place), args) for place in primaries for args in (INFO, LINE)]
        ahead = [
            place for place, info in zip(primaries, told[::2], strict=True) if (read_epoch(info) or 0) > view.epoch
        ]
        if not ahead:
            lines = {
                # who is in trouble keeps the name that it had
                place: names_of(place)[1] if isinstance(line, Exception) else read_line(line)
                for place, line in zip(primaries, told[1::2], strict=True)
            }
            return Topology(view, {place: _known(place, names_of, told) for place in primaries}, lines)
        rest, heard = ahead, view.epoch + 1
    raise StoreError(ErrorType.REFUSED, "the cluster does not agree", sent_nothing=True)


def _ask_for_a_view(rest: list[Place], heard: int) -> Generator[list[Ask], list[Any], View]:
    trouble: Any = None
    while rest:
        some, rest[:] = rest[:AT_ONCE], rest[AT_ONCE:]
        replies = yield [Ask(Spot(place), args) for place in some for args in (SLOTS, INFO)]
        views = [
            view
            for place, slots, info in zip(some, replies[::2], replies[1::2], strict=True)
            if (view := read_view(place, slots, info)) is not None and view.epoch >= heard
        ]
        best = newest(views)
        if best is not None:
            return best
        trouble = next((reply for reply in replies if isinstance(reply, StoreError)), trouble)
    raise trouble or StoreError(ErrorType.PROTOCOL, "no cluster there")


def _known(place: Place, names_of: Callable[[Place], Names], told: Sequence[Any]) -> bytes:
    known, _ = names_of(place)
    if known is None:
        trouble = next((reply for reply in told if isinstance(reply, StoreError)), None)
        raise trouble or StoreError(ErrorType.REFUSED, "a primary was not reached", sent_nothing=True)
    return known
