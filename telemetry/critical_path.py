"""The critical path of a run: the chain of steps that its duration is made of, and whose time each piece is.

From the end of a step back to its beginning: the child that ended last is on the path, then the child that had ended
when that one began, and so on; what lies between them is the step's own. What ran beside a child that is on the path is
not: to shorten it would not shorten the run. Children that outlive their parent count up to its end.

Source: Zhang et al., "CRISP: Critical Path Analysis of Large-Scale Microservice Architectures", USENIX ATC 2022,
section 3; Jaeger's critical path view draws the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from telemetry.steps import Part, Step

ROUNDING_S = 2e-6
"""Seconds by which a child may seem to end after the next one began: clocks are read one after the other."""

MOST_NAMED = 5
"""Pieces of the path that are named."""

RUN = Part.APPLICATION, "run"
"""The piece that lies in none of the steps."""

Piece = tuple[Part, str]


@dataclass(frozen=True, slots=True)
class CriticalPath:
    """What a run's duration is made of.

    Args:
        pieces: seconds by whose they are and what of it, the most first; together the run's duration.
    """

    pieces: tuple[tuple[Part, str, float], ...]

    def seconds(self, part: Part) -> float:
        """Seconds of the path that are ``part``'s."""
        return sum((s for whose, _, s in self.pieces if whose is part), 0.0)

    def named(self) -> list[str]:
        """The longest pieces, in words: ``compute embedding 1.204 s``."""
        return [f"{part} {name} {seconds:.3f} s" for part, name, seconds in self.pieces[:MOST_NAMED]]

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        pieces = [{"part": part, "name": name, "seconds": seconds} for part, name, seconds in self.pieces]
        return {**{f"{part}_s": self.seconds(part) for part in Part}, "pieces": pieces}


@dataclass(slots=True)
class _Stretch:
    """A part of a step, seconds since the run began; None: of the run itself."""

    step: Step | None
    begins: float
    ends: float


def critical_path(steps: Iterable[Step], seconds: float) -> CriticalPath:
    """The critical path of a run.

    Args:
        steps: of the run, in any order; one whose parent is not among them lies in the run itself.
        seconds: the run's duration.
    """
    below = children(steps)
    sums: dict[Piece, float] = defaultdict(float)
    # a stack of our own: computations may lie in each other as deep as they like
    waiting = [_Stretch(None, 0.0, max(0.0, seconds))]
    while waiting:
        stretch = waiting.pop()
        piece = RUN if stretch.step is None else (stretch.step.part, stretch.step.name)
        at = stretch.ends
        for child, ends in _latest_first(_below(stretch.step, below), stretch):
            if ends > at + ROUNDING_S or child.began_s >= at or ends <= stretch.begins:
                continue
            ends = min(ends, at)
            sums[piece] += at - ends
            at = max(child.began_s, stretch.begins)
            waiting.append(_Stretch(child, at, ends))
        sums[piece] += at - stretch.begins
    named = ((part, name, s) for (part, name), s in sums.items() if s > 0.0)
    return CriticalPath(tuple(sorted(named, key=lambda found: -found[2])))


def children(steps: Iterable[Step]) -> Callable[[int], Sequence[Step]]:
    """What lies below each step, by its number, in the order of time; 0 is the run."""
    listed = sorted(steps, key=lambda step: step.began_s)
    known = {step.number for step in listed}
    below: dict[int, list[Step]] = defaultdict(list)
    for step in listed:
        below[step.parent if step.parent in known and step.parent != step.number else 0].append(step)
    return lambda number: below.get(number, ())


def _below(step: Step | None, below: Callable[[int], Sequence[Step]]) -> Sequence[Step]:
    if step is None:
        return below(0)
    return below(step.number) if step.number else ()


def _latest_first(steps: Sequence[Step], within: _Stretch) -> Iterator[tuple[Step, float]]:
    """The children by their ends, none of which is later than their parent's."""
    ended = ((step, min(step.began_s + step.seconds, within.ends)) for step in steps)
    yield from sorted(ended, key=lambda found: (-found[1], -found[0].began_s))
