"""Who is in the fleet's hash, and what was lost of it since somebody last looked.

Everybody who writes is told the names of all fields, so that a loss is noticed by the living: the
store keeps no record of what it forgot.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

TOTAL, FOLDS = "total", "folds"
LIVING, ENDED, FOLDED, MISSING = "p:", "e:", "f:", "m:"
"""Kinds of fields, as ``fleet_scripts`` says."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What was there and is not.

    Args:
        ended: figures of processes that had ended: nobody can write them again.
        living: ids of processes whose figures are missing until they write again.
    """

    ended: bool = False
    living: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return self.ended or bool(self.living)


@dataclass(frozen=True, slots=True)
class Roster:
    """Who was there at one moment.

    Args:
        epoch: of the hash; another one means that everything before it is gone.
        server: the server's identity; another one may have gone back to an earlier state.
        folds: how many processes were folded into the total.
        living: ids of processes that live or fell silent.
        ended: ids of those that ended, folded or not.
        missing: ids of those whose figures are known to be lost; ``total`` for ended ones.
        unfolded: how many of the ended ones are not folded yet.
    """

    epoch: bytes
    server: bytes = b""
    folds: int = 0
    living: frozenset[str] = frozenset()
    ended: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()
    unfolded: int = 0

    def marked(self, missed: Loss) -> Roster:
        """The same once that loss is noted: whoever noted it remembers it through the next one."""
        noted = missed.living | ({TOTAL} if missed.ended else set())
        return replace(self, missing=self.missing | noted)


def roster(epoch: bytes, server: bytes, folds: int, names: list[bytes]) -> Roster:
    """What the answer to ``fleet_write`` says."""
    found: dict[str, set[str]] = {kind: set() for kind in (LIVING, ENDED, FOLDED, MISSING)}
    for name in names:
        text = name.decode(errors="replace")
        if text[:2] in found:
            found[text[:2]].add(text[2:])
    ended = frozenset(found[ENDED] | found[FOLDED])
    living, missing = frozenset(found[LIVING]), frozenset(found[MISSING])
    return Roster(epoch, server, folds, living, ended, missing, len(found[ENDED]))


def lost(before: Roster | None, now: Roster) -> Loss:
    """What a process that saw ``before`` misses in what it sees now.

    Nothing while it is the same hash on the same server: there only our own scripts take fields away,
    and those lose nothing.
    """
    if before is None or (before.epoch, before.server) == (now.epoch, now.server):
        return Loss()
    there = now.living | now.ended
    ended = (
        bool(before.ended - now.ended)
        or before.folds > now.folds
        or bool(before.missing - now.missing - there)
        or (before.epoch != now.epoch and before.folds > 0)
    )
    return Loss(ended, before.living - there)
