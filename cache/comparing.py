"""``glasscache compare``: what changed between two snapshots of the metrics, in words for people and CI."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from typing import Any

from cache import terminal
from cache.errors import SnapshotError
from cache.insight.comparing import Change, Comparison, Verdict, compare
from cache.insight.snapshots import Snapshot, between, read

SAME_OR_BETTER, WORSE, BAD_INPUT = 0, 1, 2
"""Exit codes: nothing is worse; something is; the snapshots or the command line are wrong."""

LARGEST = 16 << 20
"""Bytes of a snapshot."""


def run(arguments: argparse.Namespace) -> int:
    """Compare two files; returns the exit code."""
    try:
        before, after, same = between(_load(arguments.before), _load(arguments.after))
    except SnapshotError as error:
        print(f"glasscache: {error}", file=sys.stderr)
        return BAD_INPUT
    found = compare(before, after, same_accounts=same, level=arguments.level, at_least=arguments.at_least)
    print(json.dumps(found.as_dict(), indent=2) if arguments.json else text(found, everything=arguments.all))
    return WORSE if found.verdict is Verdict.WORSE else SAME_OR_BETTER


def _load(path: str) -> Snapshot:
    try:
        if path == "-":
            data = sys.stdin.buffer.read(LARGEST + 1)
        else:
            with open(path, "rb") as file:
                data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise SnapshotError(f"larger than {LARGEST >> 20} MiB")
        return read(json.loads(data))
    except SnapshotError as error:
        raise SnapshotError(f"{path}: {error}") from None
    except OSError as error:
        raise SnapshotError(f"{path}: {error.strerror or type(error).__name__}") from None
    except (ValueError, RecursionError):
        raise SnapshotError(f"{path}: no JSON") from None


def text(found: Comparison, *, everything: bool = False) -> str:
    """The comparison for people.

    Args:
        everything: as a table, what chance explains too.
    """
    parts = [_head(found), *(_line(change) for change in found.told), _verdict(found)]
    if everything and found.changes:
        parts += ["", _table(found.changes)]
    return "\n".join(parts)


def _head(found: Comparison) -> str:
    first, second = ("up to the first snapshot", "after it") if found.same_accounts else ("the first", "the second")
    before, after = found.hit_ratio
    said = f"{found.lookups[0]} lookups {first}, {found.lookups[1]} {second}"
    if before is not None and after is not None:
        said += f"; hit ratio {before:.2%} -> {after:.2%}"
        if found.by_mix is not None and abs(found.by_mix) >= 0.0005:
            said += f", of which {_points(found.by_mix)} because other categories were asked for"
    for word, names in (("no more lookups of", found.gone), ("new lookups of", found.new)):
        said += f"\n{word} {', '.join(names)}: nothing to compare them with" if names else ""
    return said + "\n"


def _line(change: Change) -> str:
    word = "changed" if change.verdict is Verdict.OTHER else change.verdict.value
    colour = {"worse": "fail", "better": "hit"}.get(word, "warn")
    return f"{terminal.coloured(word.ljust(7), colour)} {change.category}: {_said(change)}"


def _said(change: Change) -> str:
    first, second = change.tested
    reach = (
        f"chance alone reaches {_far(change)} in 95 of 100 comparisons ({change.chance_share:.0%} of it; {_p(change)})"
    )
    what, _, kind = change.what.partition(".")
    if change.what == "hit_ratio":
        return f"hit ratio {first:.2%} -> {second:.2%}, {_points(change.difference)}; {reach}"
    if change.what == "saved":
        return f"computation avoided per lookup {_s(change.before)} -> {_s(change.after)}; {reach}"
    if what == "misses":
        return f"misses for `{kind}`, of all lookups, {first:.2%} -> {second:.2%}; {reach}"
    if what == "errors":
        return f"errors `{kind}` in 1000 lookups {1000 * first:.3g} -> {1000 * second:.3g}; {reach}"
    timed = {"hit": "hits", "miss": "misses, computation included,", "compute": "computations"}[what]
    return (
        f"{kind} of {timed} {_s(change.before)} -> {_s(change.after)}: "
        f"{first:.2%} -> {second:.2%} take longer than {_s(change.slower_than_s)}; {reach}"
    )


def _far(change: Change) -> str:
    if change.what == "saved":
        return f"±{_s(change.by_chance)}"
    if change.what.startswith("errors."):
        return f"±{1000 * change.by_chance:.3g}"
    return f"±{100 * change.by_chance:.2g} points"


def _p(change: Change) -> str:
    return "p < 0.0001" if change.q < 1e-4 else f"p {change.q:.2g}"


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f} points"


def _s(value: float | None) -> str:
    return terminal.seconds(value)


def _verdict(found: Comparison) -> str:
    told, n = len(found.told), len(found.changes)
    if not n:
        return "nothing to compare: no category has figures on both sides"
    if not told:
        return f"nothing changed that chance does not explain ({n} comparisons)"
    return (
        f"\n{told} of {n} comparisons differ by more than chance; of what is told, {found.level:.0%} at most "
        "is a false alarm on average"
    )


def _table(changes: Iterable[Change]) -> str:
    rows: list[tuple[str, ...]] = []
    for change in changes:
        shown = (f"{value:.4g}" for value in (change.before, change.after, *change.tested, change.by_chance))
        rows.append((f"{change.category} {change.what}", *shown, f"{change.q:.3g}", change.verdict.value))
    head = ("what", "before", "after", "compared", "with", "chance", "p", "verdict")
    return terminal.table(head, rows)


def add_arguments(command: Any) -> None:
    """What the command takes."""
    command.add_argument("before", help="JSON of /cache/metrics; - reads it from standard input")
    command.add_argument("after", help="the same, later, or of another deployment")
    command.add_argument("--all", action="store_true", help="show every comparison, also what chance explains")
    command.add_argument(
        "--level", type=_share, default=0.05, help="share of false alarms among what is told (default: %(default)s)"
    )
    command.add_argument(
        "--at-least",
        type=_share,
        default=0.01,
        help="share of what was there before that a change must reach to matter (default: %(default)s)",
    )


def _share(text: str) -> float:
    number = float(text)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"{text} is no share between 0 and 1")
    return number
