"""What the callers noted of each call, and what it comes to."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

WINDOW = 40
"""Calls over which a hit ratio is taken."""


class Note(NamedTuple):
    """One call: when it began, how long it took, how it went."""

    at: float
    took: float
    hit: bool
    wrong: bool
    error: str


class Book:
    """Notes in the order in which calls ended; safe for threads."""

    def __init__(self) -> None:
        self.notes: list[Note] = []

    def note(self, at: float, took: float, *, hit: bool, wrong: bool = False, error: str = "") -> None:
        """Note a call."""
        self.notes.append(Note(at, took, hit, wrong, error))

    def between(self, begin: float, end: float) -> list[Note]:
        """Calls that began in an interval of ``time.perf_counter``."""
        return [note for note in self.notes if begin <= note.at < end]

    def recovered_after(self, since: float, ratio: float) -> float | None:
        """Seconds after ``since`` from when on the hit ratio is back; None when it never was."""
        later = [note for note in self.notes if note.at >= since]
        hits = [note.hit for note in later]
        for start in range(max(0, len(later) - WINDOW + 1)):
            if sum(hits[start : start + WINDOW]) >= ratio * WINDOW:
                return later[start].at - since
        return None


def share_of_hits(notes: Sequence[Note]) -> float:
    """Hit ratio, 0..1; NaN of nothing."""
    return sum(note.hit for note in notes) / len(notes) if notes else math.nan


def quantile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of all do not exceed; NaN of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else math.nan


def now() -> float:
    """The clock of the notes; the same for all processes of a machine."""
    return time.perf_counter()
