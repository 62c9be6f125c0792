"""The past of one process's figures: a bounded ring of snapshots, found again by time or by name."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from cache.core.fleet_records import decode, encode
from cache.errors import SnapshotError
from telemetry.figures import Figures

TIMED, ASKED = 360, 120
"""Snapshots that are kept: those taken by the clock, and those taken because somebody asked."""

PACE_S = 10.0
"""Between two that are taken by the clock: 360 of them are an hour."""

FRESH_S = 1.0
"""One that is not older is not taken again: who asks all the time pushes nobody's snapshot out at once."""

MOST_BYTES = 4 << 20
"""All of them together; one takes 1 to 5 KiB."""

_AGO = re.compile(r"([0-9]{1,9})(s|m|h|d)")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
_NAME = re.compile(r"s-[0-9a-f]{8}-[0-9]{1,12}")


class GoneError(SnapshotError):
    """The snapshot is not kept, or not any more."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One snapshot.

    Args:
        name: what it is found again by; of one process alone.
        at: when it was taken, seconds since the epoch.
        data: the figures.
    """

    name: str
    at: float
    data: bytes

    def figures(self) -> Figures:
        """The figures, as those of a beginning at that time."""
        found = decode(self.data) or Figures()
        found.since = self.at
        return found


class Past:
    """The snapshots of one process; safe for threads, begun anew in a forked child.

    Args:
        figures: gives the figures of this moment.
        now: seconds since the epoch.
        random: gives as many random bytes as it is asked for.
    """

    def __init__(
        self, figures: Callable[[], Figures], now: Callable[[], float], random: Callable[[int], bytes]
    ) -> None:
        self._figures, self._now, self._random = figures, now, random
        self._lock = threading.Lock()
        self._begin(0)

    def _begin(self, generation: int) -> None:
        self._generation, self._sequence, self._mark = generation, 0, self._random(4).hex()
        self._timed: deque[Kept] = deque(maxlen=TIMED)
        self._asked: deque[Kept] = deque(maxlen=ASKED)

    def take(self, *, timed: bool = False) -> Kept:
        """A snapshot of this moment, or one of a moment before.

        Args:
            timed: by the clock, not because somebody asked.
        """
        with self._lock:
            now = self._now()
            ring = self._timed if timed else self._asked
            last = max((one[-1] for one in (self._timed, self._asked) if one), key=lambda kept: kept.at, default=None)
            figures = self._figures()
            if figures.generation != self._generation:
                # a forked child counts from nothing
                self._begin(figures.generation)
                return self._keep(self._timed if timed else self._asked, figures, now)
            if last is not None and 0 <= now - last.at < FRESH_S:
                return last
            return self._keep(ring, figures, now)

    def _keep(self, ring: deque[Kept], figures: Figures, now: float) -> Kept:
        self._sequence += 1
        kept = Kept(f"s-{self._mark}-{self._sequence}", now, encode(figures))
        ring.append(kept)
        while sum(len(one.data) for one in (*self._timed, *self._asked)) > MOST_BYTES and len(ring) > 1:
            ring.popleft()
        return kept

    def find(self, since: str, began: float) -> Kept | None:
        """The snapshot that ``since`` means: the last one that is not younger.

        Args:
            since: a snapshot's name, a time as RFC 3339 writes it, or how long ago: ``90s``, ``5m``, ``2h``, ``1d``.
            began: when counting began, seconds since the epoch.

        Returns:
            None for a time before counting began: all that was counted came after it.

        Raises:
            GoneError: there is none that old, or none of that name in this process.
            SnapshotError: it is none of these, or lies in the future.
        """
        if _NAME.fullmatch(since):
            return self._named(since)
        at = moment(since, self._now())
        if at <= began:
            return None
        found = self.last_before(at)
        if found is None:
            raise GoneError("no snapshot is that old: this process keeps those of the last hour, since it serves")
        return found

    def last_before(self, at: float) -> Kept | None:
        """The last one that is not younger than ``at``, seconds since the epoch."""
        with self._lock:
            older = [kept for kept in (*self._timed, *self._asked) if kept.at <= at]
        return max(older, key=lambda kept: kept.at, default=None)

    def _named(self, name: str) -> Kept:
        with self._lock:
            for kept in (*self._timed, *self._asked):
                if kept.name == name:
                    return kept
        raise GoneError("no snapshot of that name is kept: it is of another process, or too old")


def moment(text: str, now: float) -> float:
    """The time that a text means, seconds since the epoch.

    Raises:
        SnapshotError: it is none.
        GoneError: it lies in the future.
    """
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return now - int(ago[1]) * _UNITS[ago[2]]
    if _TIME.fullmatch(text):
        at = _timestamp(text)
        if at is not None and at > now:
            raise GoneError("that time lies in the future")
        if at is not None:
            return at
    raise SnapshotError(
        "give how long ago (90s, 5m, 2h, 1d), a time such as 2026-01-31T12:00:00Z, or a snapshot's name"
    )


def _timestamp(text: str) -> float | None:
    """Of what looks like a time; None for the 31st of February."""
    with suppress(ValueError, OverflowError):
        return datetime.fromisoformat(text.upper()).timestamp()
    return None
