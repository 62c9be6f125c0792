"""Which server has which slot: what one node says, and what is believed of what several say. Plain data, no I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.crc import key_slot

from cache.core.health import parse_info
from cache.core.steps import Arg

NOBODY = -1
"""Stands for the primary of a slot that has none."""


class Place(NamedTuple):
    """Where a node listens."""

    host: str
    port: int


class Range(NamedTuple):
    """Slots from ``first`` to ``last``, their primary and its replicas."""

    first: int
    last: int
    primary: Place
    replicas: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class View:
    """What one node says of the cluster.

    Args:
        epoch: the cluster's, as far as the node has heard: who has an older one knows less.
    """

    epoch: int
    ranges: tuple[Range, ...]

    @property
    def primaries(self) -> tuple[Place, ...]:
        """Each primary that has slots, in a fixed order."""
        return tuple(sorted({each.primary for each in self.ranges}))


def read_view(asked: Place, slots: Any, info: Any) -> View | None:
    """Take the replies to ``CLUSTER SLOTS`` and ``CLUSTER INFO`` apart; None when they are none.

    Args:
        asked: who said so; it stands for an address that it leaves out.
    """
    epoch = read_epoch(info)
    if epoch is None or not isinstance(slots, list):
        return None
    try:
        ranges = [
            Range(int(first), int(last), _place(asked, primary), tuple(_place(asked, each) for each in replicas))
            for first, last, primary, *replicas in slots
        ]
    except (TypeError, ValueError, IndexError):
        return None
    good = all(0 <= each.first <= each.last < SLOTS for each in ranges)
    return View(epoch, tuple(ranges)) if good and ranges else None


def read_epoch(info: Any) -> int | None:
    """The cluster's epoch out of a reply to ``CLUSTER INFO``; None when it is none."""
    text = parse_info(info).get("cluster_current_epoch", "")
    return int(text) if text.isdigit() else None


def read_line(info: Any) -> bytes:
    """The name of a server's data's line out of a reply to ``INFO replication``; empty when it is none.

    Source: Redis, "Replication", replication ids: a promoted replica takes a new one.
    """
    return parse_info(info).get("master_replid", "").encode()


def _place(asked: Place, told: Any) -> Place:
    host = told[0].decode() if isinstance(told[0], bytes) else told[0]
    return Place(asked.host if host in (None, "", "?") else str(host), int(told[1]))


@dataclass(frozen=True, slots=True)
class Topology:
    """What is believed, with the run ids of all primaries; never changed, replaced as a whole.

    Args:
        ids: eight bytes that name the running server at each primary's place, empty where it may not be asked.
        lines: the names of their data's lines, empty where they may not be asked.

    Attributes:
        primaries: in a fixed order.
        identity: eight bytes that name all of them together: another one has come, or one was restarted, when they
            differ. Empty when one of them is not known.
        mark: names this very map of slots too.
    """

    view: View
    ids: Mapping[Place, bytes]
    lines: Mapping[Place, bytes]
    primaries: tuple[Place, ...] = field(init=False)
    identity: bytes = field(init=False)
    mark: str = field(init=False)
    _owners: tuple[int, ...] = field(init=False, repr=False)
    _replicas: Mapping[Place, tuple[Place, ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        primaries, replicas, owners = self.view.primaries, dict[Place, tuple[Place, ...]](), [NOBODY] * SLOTS
        numbers = {place: number for number, place in enumerate(primaries)}
        for first, last, primary, others in self.view.ranges:
            owners[first : last + 1] = [numbers[primary]] * (last - first + 1)
            replicas[primary] = others
        ids = sorted(self.ids[place] + self.lines[place] for place in primaries)
        known = all(self.ids[place] for place in primaries)
        whole = hashlib.sha256(b" ".join(ids)).digest()[:8] if known else b""
        layout = hashlib.sha256(repr((sorted(self.view.ranges), ids)).encode()).hexdigest()[:16]
        for name, value in (
            ("primaries", primaries), ("identity", whole), ("mark", layout), ("_owners", tuple(owners)),
            ("_replicas", replicas),
        ):  # fmt: skip
            object.__setattr__(self, name, value)

    @property
    def places(self) -> tuple[Place, ...]:
        """All nodes that have a part in it."""
        return tuple(dict.fromkeys((*self.primaries, *(each for some in self._replicas.values() for each in some))))

    def primary(self, key: Arg) -> Place | None:
        """Where a key lives; None when nobody has its slot."""
        number = self._owners[slot_of(key)]
        return None if number == NOBODY else self.primaries[number]

    def replicas(self, primary: Place) -> tuple[Place, ...]:
        """Who repeats a primary."""
        return self._replicas.get(primary, ())


def slot_of(key: Arg) -> int:
    """The slot of a key."""
    raw = key if isinstance(key, bytes) else str(key).encode("utf-8", "surrogateescape")
    return key_slot(raw)


def newest(views: Iterable[View]) -> View | None:
    """The one that knows most; of those that know as much the first."""
    return max(views, key=lambda view: view.epoch, default=None)
