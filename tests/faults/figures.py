"""The figures of one play of a row, and what they must be."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

TIMES = ("burst_ms", "lag_ms", "p99_ms", "recovery_s")
"""Figures that a busy machine can spoil."""


@dataclass(slots=True)
class Figures:
    """What was measured; None where a figure does not apply to the row.

    Args:
        wrong: values that were not legal.
        errors: exceptions, or answers other than 200, that the cache caused.
        calls: how many were made while the fault lasted.
        burst_ms: 50 calls one after the other at the beginning of the fault, altogether; over HTTP beside what they
            take when all is well.
        first_ms: the first of them.
        p99_ms: 99 % of calls during the fault, beyond the same before it.
        lag_ms: the longest turn of an event loop: how long a task that is ready waits for it.
        recovery_s: from the end of the fault until 95 % of the earlier hit ratio.
        leaks: descriptors, threads and tasks beyond those before, after the end.
        mib: growth of the process over the fault.
        origin: computations for each one expected.
        more: what else the row tells, by name.
    """

    wrong: int = 0
    errors: int = 0
    calls: int = 0
    burst_ms: float | None = None
    first_ms: float | None = None
    p99_ms: float | None = None
    lag_ms: float | None = None
    recovery_s: float | None = None
    leaks: int | None = None
    mib: float | None = None
    origin: float | None = None
    more: dict[str, Any] = field(default_factory=dict)

    def as_data(self) -> dict[str, Any]:
        """For JSON; what does not apply is left out."""
        data = {name: round(v, 3) if isinstance(v, float) else v for name, v in asdict(self).items()}
        return {name: value for name, value in data.items() if value is not None and value != {}}

    @classmethod
    def of(cls, data: dict[str, Any]) -> Figures:
        """Back from JSON."""
        return cls(**{part.name: data[part.name] for part in fields(cls) if part.name in data})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a row's figures must not exceed; None asks nothing. Wrong values and errors must be 0 in every row."""

    burst_ms: float | None = 100.0
    lag_ms: float | None = 10.0
    recovery_s: float | None = 2.0
    leaks: int | None = 0
    mib: float | None = 64.0
    origin: float | None = None
    p99_ms: float | None = None

    def broken(self, figures: Figures, slack: float = 1.0) -> list[str]:
        """What is not as it must be, in words.

        Args:
            slack: how much more time may pass than the limits say.
        """
        found = [] if figures.calls else ["nothing was done"]
        found += [f"{name} {getattr(figures, name)}" for name in ("wrong", "errors") if getattr(figures, name)]
        for part in fields(self):
            limit, value = getattr(self, part.name), getattr(figures, part.name)
            if limit is not None and part.name in TIMES:
                limit *= slack
            if limit is not None and part.name == "burst_ms":
                limit *= figures.more.get("processes", 1)
            if limit is not None and value is not None and not value <= limit:
                found.append(f"{part.name} {value:.4g} > {limit:g}")
        return found

    def only_late(self, figures: Figures, slack: float = 1.0) -> bool:
        """True when nothing but time was exceeded: a machine at work for others can do that."""
        return all(word.split()[0] in TIMES for word in self.broken(figures, slack))
