"""SCAN over all primaries, one after the other, by a cursor that names the map of the cluster it was begun under.

A slot that moves while a sweep goes on takes its keys from where the sweep has not been to where it has
been. So it is an error when the map changes, or when a node is found moving slots at the beginning or the end
of its turn: whoever sweeps must then do without.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from cache.core.steps import Arg
from cache.errors import StoreError
from cache.stores.cluster.topology import Place, Topology
from cache.stores.cluster.words import Answer, Part, Spot
from telemetry.vocabulary import ErrorType

_END = b"0"


def scan(args: tuple[Arg, ...], topology: Topology) -> Generator[list[Part], list[Answer], list[Any]]:
    """One page of the sweep: a cursor, b"0" after the last, and names.

    Args:
        args: the command; its cursor ``0``, or what the page before answered.

    Raises:
        StoreError: slots are moving, or have moved since the beginning; the reply has another shape.
    """
    number, cursor = _read(args[1], topology)
    place = topology.primaries[number]
    parts = [Part(("SCAN", cursor, *args[2:]), at=Spot(place))]
    if cursor == _END:
        parts.append(_asked(place))
    reply, *nodes = [answer.value for answer in (yield parts)]
    for trouble in (reply, *nodes):
        if isinstance(trouble, Exception):
            raise trouble
    if not isinstance(reply, list) or len(reply) != 2:
        raise StoreError(ErrorType.PROTOCOL, "a reply of the wrong shape")
    cursor, names = reply
    if cursor == _END:
        nodes += [answer.value for answer in (yield [_asked(place)])]
    for told in nodes:
        _check(told, place, topology)
    if cursor != _END:
        return [_write(topology, number, cursor), names]
    return [_END if number + 1 == len(topology.primaries) else _write(topology, number + 1, _END), names]


def _asked(place: Place) -> Part:
    return Part(("CLUSTER", "NODES"), at=Spot(place))


def _check(told: Any, place: Place, topology: Topology) -> None:
    """See to it that a node has just the slots that it is thought to have, and moves none."""
    if isinstance(told, Exception):
        raise told
    text = told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)
    mine = next((line.split() for line in text.splitlines() if "myself" in line), [])
    believed = {(each.first, each.last) for each in topology.view.ranges if each.primary == place}
    if {_range(word) for word in mine[8:]} != believed:
        raise StoreError(ErrorType.REFUSED, "slots are moving")


def _range(word: str) -> tuple[int, int]:
    """``5-9`` or ``5`` as numbers; what is on its way (``[5->-...]``) is none."""
    first, _, last = word.partition("-")
    return (int(first), int(last or first)) if first.isdigit() and (last or first).isdigit() else (-1, -1)


def _write(topology: Topology, number: int, cursor: Any) -> bytes:
    return b"%s.%d.%s" % (topology.mark.encode(), number, cursor)


def _read(cursor: Arg, topology: Topology) -> tuple[int, bytes]:
    raw = cursor if isinstance(cursor, bytes) else str(cursor).encode()
    if raw == _END:
        return 0, _END
    mark, number, rest = raw.split(b".")
    if mark.decode() != topology.mark:
        raise StoreError(ErrorType.REFUSED, "the cluster changed during the sweep", sent_nothing=True)
    return int(number), rest
