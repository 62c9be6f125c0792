"""Folding: records of processes that are over become one sum, so that the fleet's hash stays small.

A folded process that comes back (it was suspended, say, or cut off) finds the record that was
folded under its id, and goes on under another id with what it counted since.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cache.core.fleet_records import encode
from cache.core.fleet_roster import ENDED, FOLDED, FOLDS, LIVING, MISSING, TOTAL
from cache.core.fleet_table import Record, Table, number
from telemetry.figures import nothing

KEPT_ENDED = 16
"""Records of ended processes that are not folded yet; beyond it all of them are."""

SILENT_S = 3600.0
"""Silence after which a process is folded."""

CROWD = 64
"""Records beyond which silent processes are folded early, and records of another format are given up."""

CROWD_SILENT_S = 60.0
"""Silence after which a process is folded in a crowd."""

KEPT_FOLDED = 64
"""Names of folded processes that are kept, the newest."""

BATCH = 32
"""Records that are folded at a time."""


@dataclass(slots=True)
class Fold:
    """Fields that change together, if none of them has changed meanwhile.

    Args:
        expected: values that fields must have; empty for an absent field.
        written: new values.
        dropped: fields that go.
    """

    expected: dict[str, bytes] = field(default_factory=dict)
    written: dict[str, bytes] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)

    def arguments(self) -> list[bytes | str | int]:
        """As ``fleet_swap`` wants them."""
        out: list[bytes | str | int] = []
        for pairs in (self.expected, self.written):
            out.append(len(pairs))
            for name, value in pairs.items():
                out += (name, value)
        return out + list(self.dropped)


def due(found: Table) -> Fold | None:
    """What is to be folded now; None when nothing is."""
    over = [(name, entry) for name, entry in _over(found) if entry.figures is not None][:BATCH]
    given_up = [name for name, entry in _over(found) if entry.figures is None] if _crowded(found) else []
    if (found.total is None and not _crowded(found)) or not (over or given_up):
        return None
    fold = Fold(expected={name: found.fields.get(name, b"") for name in (TOTAL, FOLDS)})
    figures = found.total or nothing()
    for name, entry in over:
        value = found.fields[name]
        fold.expected[name] = value
        # one that ended does not come back; of a silent one it must be known what was counted
        fold.written[FOLDED + name[2:]] = value if name[:2] == LIVING else b"%d " % entry.written_ms
        fold.dropped.append(name)
        figures = figures.plus(entry.figures or nothing())
    for name in given_up:
        fold.expected[name] = found.fields[name]
        fold.dropped.append(name)
    if given_up or found.total is None:
        fold.written[MISSING + TOTAL] = b"%d" % found.now_ms
    fold.written[TOTAL] = encode(figures)
    fold.written[FOLDS] = b"%d" % (found.folds + len(over))
    fold.dropped += _forgotten(found, len(over))
    return fold


def _crowded(found: Table) -> bool:
    return len(found.living) + len(found.ended) > CROWD


def _over(found: Table) -> list[tuple[str, Record]]:
    """Records whose processes are over, the oldest first."""
    patience = CROWD_SILENT_S if _crowded(found) else SILENT_S
    over = [(LIVING + id_, entry) for id_, entry in found.living.items() if found.age_s(entry) > patience]
    if len(found.ended) > KEPT_ENDED:
        over += [(ENDED + id_, entry) for id_, entry in found.ended.items()]
    return sorted(over, key=lambda item: (item[1].written_ms, item[0]))


def _forgotten(found: Table, coming: int) -> list[str]:
    """Names of folded processes that make room for as many new ones."""
    stamps = {name: number(value.partition(b" ")[0]) for name, value in found.kind(FOLDED).items()}
    surplus = len(stamps) + coming - KEPT_FOLDED
    return [FOLDED + id_ for id_ in sorted(stamps, key=lambda id_: (stamps[id_], id_))[: max(0, surplus)]]
