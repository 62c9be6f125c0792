"""What each figure ought to be: the table of goals, by the names of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound.

    Args:
        bound: the figure that is wanted, in the row's unit.
        more: True when more is better.
        floor: the figure below which the work is not done; None where there is none.
    """

    bound: float
    more: bool = False
    floor: float | None = None

    def reached(self, value: float) -> bool:
        """True when ``value`` is as good as the bound."""
        return value >= self.bound if self.more else value <= self.bound

    def __str__(self) -> str:
        text = f"{'≥' if self.more else '≤'} {self.bound:g}"
        return text if self.floor is None else f"{text} (floor {self.floor:g})"


GOALS: Mapping[str, Goal] = {
    "hit/json*/*/glasscache/sampled": Goal(0.90, floor=1.15),
    "hit/json*/*/glasscache/unsampled": Goal(0.70, floor=1.10),
    "hit/json*/*/glasscache/absent": Goal(0.65),
    "hit/embedding/*/glasscache/*": Goal(0.80),
    "stored/embedding": Goal(1.6),
    "many/*/glasscache/*": Goal(1.0),
    "set/*/glasscache/*": Goal(1.5),
    "miss/*/glasscache/*": Goal(1.3),
    "async/*/glasscache/*": Goal(0.9),
    "tasks/*/throughput/*": Goal(5.0, more=True),
    "tasks/*/p99/*": Goal(1.0),
    "threads/*/throughput/*": Goal(2.0, more=True),
    "local/hit/unsampled": Goal(2.0),
    "local/hit/sampled": Goal(4.0),
    "local/cached/*": Goal(3.0),
    "local/syscalls": Goal(0.01),
    "flight/*/computations": Goal(1.0),
    "flight/*/commands": Goal(10.0),
    "flight/*/waiting": Goal(20.0),
    "loop/*": Goal(2.0),
    "import/cache": Goal(80.0),
    "import/names": Goal(80.0),
    "import/sdk": Goal(0.0),
    "memory/local/bound": Goal(1.2),
    "memory/local/overhead": Goal(400.0),
    "accounting/series": Goal(0.0),
    "accounting/memory": Goal(64.0),
    "growth/hit/*": Goal(1.10),
    "growth/invalidate/*": Goal(1.10),
}
"""Patterns of row names. ``accounting``: series and KiB that all but the first tenth of the run adds.
``local/syscalls``: a thread that lends the interpreter to another, or asks for memory, makes one now and then."""


def goal_of(name: str) -> Goal | None:
    """The goal of a row, the first whose pattern fits."""
    return next((goal for pattern, goal in GOALS.items() if fnmatchcase(name, pattern)), None)
