"""What a run found: rows, and the file they are kept in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.goals import Goal, goal_of
from benchmarks.method import Estimate

RATIO = "x"
"""Unit of a ratio: the only figures that can be compared between machines."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure.

    Args:
        name: path-like: what, value, transport, who, state.
        title: for people.
        value: the median.
        low: first quartile; high: third.
        unit: ``x`` for a ratio to bare redis-py.
        rounds: how many measurements it is made of.
        void: why the row does not count; empty when it does.
        detail: what else is worth keeping.
    """

    name: str
    title: str
    value: float
    low: float
    high: float
    unit: str
    rounds: int = 1
    void: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """The command-line name of what measures it."""
        return self.name.partition("/")[0]

    @property
    def goal(self) -> Goal | None:
        """What it ought to be."""
        return goal_of(self.name)

    @property
    def spread(self) -> float:
        """Half the distance of the quartiles, as a share of the value."""
        return (self.high - self.low) / 2 / self.value if self.value else 0.0

    @property
    def missed(self) -> bool:
        """True when there is a goal and the figure does not reach it."""
        return self.goal is not None and not self.goal.reached(self.value)


def row(name: str, title: str, found: Estimate, unit: str = RATIO, *, void: str = "", **detail: Any) -> Row:
    """A row from an estimate."""
    return Row(name, title, found.value, found.low, found.high, unit, found.rounds, void, detail)


def single(name: str, title: str, value: float, unit: str, *, void: str = "", **detail: Any) -> Row:
    """A row of one exact figure."""
    return Row(name, title, value, value, value, unit, 1, void, detail)


def void(name: str, title: str, reason: str) -> Row:
    """A row that could not be measured."""
    return Row(name, title, 0.0, 0.0, 0.0, "", 0, reason)


@dataclass(slots=True)
class Report:
    """A run.

    Args:
        machine: where, with what.
        quick: whether it was the short form.
        seconds: how long it took.
    """

    machine: dict[str, str]
    quick: bool
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Keep it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        head = {"machine": self.machine, "quick": self.quick, "seconds": round(self.seconds, 1)}
        rows = [_rounded(asdict(each)) for each in self.rows]
        path.write_text(json.dumps(head | {"rows": rows}, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> Report:
        """The run that ``write`` kept.

        Raises:
            OSError, ValueError, KeyError: there is none, or it is none.
        """
        data = json.loads(path.read_text())
        return cls(data["machine"], data["quick"], data["seconds"], [Row(**each) for each in data["rows"]])

    def merged(self, rows: Sequence[Row]) -> None:
        """Put rows that were measured again in the place of the earlier ones."""
        fresh = {each.name: each for each in rows}
        self.rows = [fresh.pop(each.name, each) for each in self.rows] + list(fresh.values())


def _rounded(value: Any) -> Any:
    """Six significant digits are more than any of these figures has."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
