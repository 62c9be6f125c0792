"""The fleet's hash as it was read, and what the processes' figures in it come to.

``fleet_scripts`` says what the fields are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from cache.core.fleet_records import decode
from cache.core.fleet_roster import ENDED, FOLDED, FOLDS, LIVING, MISSING, TOTAL
from telemetry.figures import Figures, nothing

LIVING_S = 5.0
"""A process that has not written for so long, and did not say that it ends, counts as silent."""


@dataclass(frozen=True, slots=True)
class Record:
    """One process's figures as they lie in the hash.

    Args:
        written_ms: the server's time of writing.
        figures: None when they are of another format.
    """

    written_ms: int
    figures: Figures | None


def number(text: bytes) -> int:
    """A number of at most 15 digits; 0 for anything else that lies there."""
    return int(text) if text.isdigit() and len(text) < 16 else 0


def record(value: bytes) -> Record:
    """Read a record: the server's time, a blank, the figures."""
    stamp, _, data = value.partition(b" ")
    return Record(number(stamp), decode(data))


@dataclass(frozen=True)
class Table:
    """The whole hash at one moment.

    Args:
        now_ms: the server's time.
        fields: as they were read.
    """

    now_ms: int
    fields: Mapping[str, bytes] = field(default_factory=dict)

    def kind(self, prefix: str) -> dict[str, bytes]:
        """The fields of one kind by id, in the order of ids: sums of seconds must not depend on the server's order."""
        return {name[2:]: self.fields[name] for name in sorted(self.fields) if name[:2] == prefix}

    @cached_property
    def living(self) -> dict[str, Record]:
        """Records of processes that live or fell silent."""
        return {id_: record(value) for id_, value in self.kind(LIVING).items()}

    @cached_property
    def ended(self) -> dict[str, Record]:
        """Records of processes that ended cleanly and are not folded yet."""
        return {id_: record(value) for id_, value in self.kind(ENDED).items()}

    @cached_property
    def total(self) -> Figures | None:
        """What was folded; None when it is of another format."""
        value = self.fields.get(TOTAL)
        return nothing() if value is None else decode(value)

    @property
    def folds(self) -> int:
        """How many processes were folded."""
        return number(self.fields.get(FOLDS, b""))

    def age_s(self, found: Record) -> float:
        """Seconds since a record was written, by the server's clock."""
        return max(0.0, (self.now_ms - found.written_ms) / 1000)


def table(now_ms: bytes, flat: list[bytes]) -> Table:
    """What the answer to ``fleet_read`` says."""
    names = (name.decode(errors="replace") for name in flat[::2])
    return Table(int(now_ms), dict(zip(names, flat[1::2], strict=True)))


@dataclass(frozen=True, slots=True)
class Sum:
    """The figures of all processes, and what is to be known about them.

    Args:
        figures: added up.
        workers: how many processes live.
        processes: how many were added up: living, silent, ended.
        silent: how many stopped writing without a last word; each may lack its last second.
        oldest_s: age of the oldest figures of a living process, seconds.
        foreign: how many records were left out, being of another format.
        lost_since: when figures were lost, seconds since the epoch; None when none were.
    """

    figures: Figures
    workers: int
    processes: int
    silent: int
    oldest_s: float
    foreign: int
    lost_since: float | None

    @property
    def complete(self) -> bool:
        """True when no process's figures are known to be missing."""
        return self.lost_since is None and not self.foreign


def add_up(found: Table, me: str, mine: Figures) -> Sum:
    """Add up the fleet, with the caller's own figures of this moment in the place of its record.

    Args:
        me: id of the caller.
        mine: its figures, as it would write them now.
    """
    others = {id_: entry for id_, entry in found.living.items() if id_ != me}
    ended = [entry for id_, entry in found.ended.items() if id_ != me]
    ages = {id_: found.age_s(entry) for id_, entry in others.items()}
    parts = [entry.figures for entry in (*others.values(), *ended)] + [found.total]
    figures = _own(found, me, mine)
    for part in parts:
        figures = figures.plus(part) if part is not None else figures
    fresh = [age for age in ages.values() if age <= LIVING_S]
    marks = [number(value) / 1000 for id_, value in found.kind(MISSING).items() if id_ != me and number(value)]
    return Sum(
        figures=figures,
        workers=len(fresh) + 1,
        processes=len(others) + len(ended) + found.folds + 1,
        silent=len(ages) - len(fresh),
        oldest_s=max(fresh, default=0.0),
        foreign=parts.count(None),
        lost_since=max(marks, default=None),
    )


def _own(found: Table, me: str, mine: Figures) -> Figures:
    """The caller's figures less what was folded of it while it was silent."""
    folded = found.fields.get(FOLDED + me)
    before = record(folded).figures if folded is not None else None
    return mine.after(before) if before is not None else mine
