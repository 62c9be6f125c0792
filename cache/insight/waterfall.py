"""One run on one page of a terminal: what took when, whose time it was, and why what missed did miss."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from telemetry.vocabulary import MissReason

MOST_LINES = 80
"""Lines of steps; what goes beyond is counted."""

BAR, NAME = 32, 44
"""Characters of a bar, and of the name before it."""

WHY: Mapping[str, str] = {
    MissReason.COLD: "nothing was stored under these keys, as far as is remembered",
    MissReason.EXPIRED: "the entries were older than their TTL",
    MissReason.INVALIDATED: "a tag, a category or the key itself was invalidated since they were stored",
    MissReason.EVICTED: "the store let them go to make room: it is full",
    MissReason.CHANGED: "a file that the value was made from is not what it was",
    MissReason.VERSION: "another program, or another version of this one, wrote under these keys",
    MissReason.CORRUPT: "the bytes under these keys are damaged, or signed by another key",
    MissReason.COLLISION: "other keys' entries stood under these names",
    MissReason.UNKNOWN: "nothing tells why",
}
"""What each reason means, for people."""

Seconds = Callable[[float], str]
Coloured = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class Line:
    """A step, or neighbours of one shape, which become one line with a count."""

    depth: int
    label: str
    outcome: str
    said: str
    began_s: float
    ended_s: float
    seconds: float
    times: int = 1

    def joins(self, other: Line) -> bool:
        """True when the other one says the same."""
        return (self.depth, self.label, self.outcome, self.said) == (
            other.depth, other.label, other.outcome, other.said
        )  # fmt: skip


def page(run: Mapping[str, Any], seconds: Seconds, coloured: Coloured) -> str:
    """The whole page.

    Args:
        run: as ``GET /cache/runs/{run_id}`` shows it.
        seconds: how durations are written.
        coloured: gives a text the colour of a word such as ``miss``.

    Raises:
        LookupError, TypeError, ValueError: it is of another shape.
    """
    parts = [head(run, seconds), "\n".join(waterfall(run, seconds, coloured))]
    missed = "\n".join(misses(run["steps"], run["miss_reasons"], coloured))
    return "\n\n".join((*parts, missed) if missed else parts)


def head(run: Mapping[str, Any], seconds: Seconds) -> str:
    """What the run was, in a few lines."""
    path = run["critical_path"]
    pieces = ", ".join(f"{piece['part']} {piece['name']} {seconds(piece['seconds'])}" for piece in path["pieces"][:5])
    failed = ", failed" if run["failed"] else ""
    spent = (("in the cache", "cache_s"), ("in computations", "compute_s"), (f"in {run['waits']} waits", "wait_s"))
    lines = [
        f"{run['name']} {run['run_id']}: {seconds(run['seconds'])}{failed}",
        f"{run['hits']} hits, {run['misses']} misses, {run['errors']} errors; saved {seconds(run['saved_s'])}",
        ", ".join(f"{where} {seconds(run[name])}" for where, name in spent) + ", over all threads and tasks",
        f"critical path: {pieces or '-'}",
    ]
    if run["trace_id"] and run["trace_id"] != run["run_id"]:
        lines.insert(1, f"trace {run['trace_id']}")
    return "\n".join(lines)


def waterfall(run: Mapping[str, Any], seconds: Seconds, coloured: Coloured) -> list[str]:
    """A line for each step, indented below what it lies in, with a bar where it lies in time."""
    whole = float(run["seconds"]) or 1e-9
    found = _merged(_lines(run["steps"]))
    drawn = [_drawn(line, whole, seconds, coloured) for line in found[:MOST_LINES]]
    left = sum(line.times for line in found[MOST_LINES:]) + int(run["left_out"])
    return [*drawn, f"... {left} more steps"] if left else drawn


def _lines(steps: Sequence[Mapping[str, Any]]) -> Iterable[Line]:
    """The steps, each below its parent, in the order of time."""
    known = {step["number"] for step in steps if step["number"]}
    below: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for step in sorted(steps, key=lambda step: float(step["began_s"])):
        inside = step["parent"] in known and step["parent"] != step["number"]
        below[step["parent"] if inside else 0].append(step)
    waiting, seen = [(step, 0) for step in reversed(below[0])], set[int]()
    while waiting:
        step, depth = waiting.pop()
        yield _line(step, depth)
        if step["number"] and step["number"] not in seen:
            seen.add(step["number"])
            waiting += [(child, depth + 1) for child in reversed(below[step["number"]])]


def _line(step: Mapping[str, Any], depth: int) -> Line:
    label = step["name"] if step["part"] == "application" else f"{step['operation'] or step['part']} {step['name']}"
    reasons = ", ".join(f"{reason} {n}" if step["size"] else reason for reason, n in step["reasons"].items())
    batch = f"{step['hits']} of {step['size']}" if step["size"] else ""
    words = (step["outcome"], step["tier"], batch, reasons, step["error"])
    began_s, took_s = float(step["began_s"]), float(step["seconds"])
    said = " ".join(str(word) for word in words if word)
    return Line(depth, str(label), str(step["outcome"] or ""), said, began_s, began_s + took_s, took_s)


def _merged(lines: Iterable[Line]) -> list[Line]:
    found: list[Line] = []
    for line in lines:
        last = found[-1] if found else None
        if last is None or not last.joins(line):
            found.append(line)
            continue
        ended_s, took_s = max(last.ended_s, line.ended_s), last.seconds + line.seconds
        found[-1] = replace(last, ended_s=ended_s, seconds=took_s, times=last.times + 1)
    return found


def _drawn(line: Line, whole: float, seconds: Seconds, coloured: Coloured) -> str:
    times = f" x{line.times}" if line.times > 1 else ""
    label = f"{'  ' * min(line.depth, 10)}{line.label}{times}"
    label = label if len(label) <= NAME else f"{label[: NAME - 1]}…"
    first = min(BAR - 1, max(0, int(BAR * line.began_s / whole)))
    length = max(1, round(BAR * (line.ended_s - line.began_s) / whole))
    bar = (" " * first + "█" * min(length, BAR - first)).ljust(BAR)
    said = f"  {coloured(line.said, line.outcome)}" if line.said else ""
    return f"{label.ljust(NAME)}{seconds(line.seconds).rjust(10)}  |{bar}|{said}"


def misses(steps: Sequence[Mapping[str, Any]], sums: Mapping[str, int], coloured: Coloured) -> list[str]:
    """What missed, by reason: how often, where, and what that means.

    Args:
        sums: misses by reason of the whole run, of which ``steps`` may be a part.
    """
    where: dict[str, Counter[str]] = defaultdict(Counter)
    for step in steps:
        for reason, n in step["reasons"].items():
            where[reason][step["name"]] += n
    lines = []
    for reason, n in sorted(sums.items(), key=lambda found: -found[1]):
        places = ", ".join(f"{name} {m}" for name, m in where[reason].most_common(5))
        lines.append(f"  {coloured(f'{reason} {n}'.ljust(16), 'miss')} {WHY.get(reason, '')}: {places or '-'}")
    return ["Misses", *lines] if lines else []
