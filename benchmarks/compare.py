"""Holds a run against the last one that was kept: a ratio that got worse by more than the spread is a fault.

Pure. Only ratios of ours are compared, for microseconds of two machines say nothing of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.report import RATIO, Report, Row

MARGIN = 0.15
"""Least share by which a ratio must get worse on the machine that the last one was kept on."""

LENT = 1.0
"""The same on any other machine, and on a virtual one, which is another one each hour: what is found there is a fast
path that is no longer taken. Calls that missed their deadline say nothing there, dropped spans do."""

SPREADS = 2.0
"""How many times the larger of both spreads it must get worse."""


@dataclass(frozen=True, slots=True)
class Worse:
    """A figure that got worse.

    Args:
        name: the row.
        was: the figure that was kept.
        now: the figure of this run.
        allowed: the share that it might have got worse by.
    """

    name: str
    was: float
    now: float
    allowed: float

    def __str__(self) -> str:
        return f"{self.name}: {self.was:.2f} -> {self.now:.2f}, more than {self.allowed:.0%} worse"


def worse(last: Report, this: Report) -> list[Worse]:
    """The rows of ``this`` that are worse than those of ``last`` by more than the spread.

    A row that only one of them has is not compared; one that counted and is void now is worse.
    """
    known = {row.name: row for row in last.rows if _counts(row) and not row.void}
    pairs = [(known[row.name], row) for row in this.rows if row.name in known]
    own = last.machine == this.machine and "virtual" not in this.machine.get("processor", "")
    margin = MARGIN if own else LENT
    return [found for was, now in pairs if (found := _compared(was, now, margin)) is not None]


def settled(last: Report, this: Report, again: Callable[[Sequence[str]], Iterable[Row]]) -> list[Worse]:
    """As ``worse``, after what looks worse was measured once more; ``this`` keeps the better figure of the two.

    Args:
        again: measures groups of rows again, by name.
    """
    suspicious = {found.name for found in worse(last, this)}
    if not suspicious:
        return []
    groups = sorted({name.partition("/")[0] for name in suspicious})
    before = {row.name: row for row in this.rows}
    this.merged([_better(before[row.name], row) for row in again(groups) if row.name in suspicious])
    return worse(last, this)


def _counts(row: Row) -> bool:
    return row.unit == RATIO and "/glasscache" in row.name


def _compared(was: Row, now: Row, margin: float) -> Worse | None:
    allowed = max(margin, SPREADS * was.spread, SPREADS * now.spread)
    if now.void and margin == LENT and "dropped" not in now.void:
        return None
    if now.void:
        return Worse(now.name, was.value, float("nan"), allowed)
    got_worse = was.value / now.value if _more(now) and now.value else now.value / was.value
    return Worse(now.name, was.value, now.value, allowed) if got_worse > 1 + allowed else None


def _better(one: Row, other: Row) -> Row:
    if one.void or other.void:
        return other if one.void else one
    return max(one, other, key=lambda row: row.value if _more(row) else -row.value)


def _more(row: Row) -> bool:
    return row.goal is not None and row.goal.more
