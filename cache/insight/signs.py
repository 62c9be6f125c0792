"""What the figures themselves say is wrong, each with its cure: no question to anybody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cache.insight.board import account
from telemetry.figures import Figures
from telemetry.vocabulary import ALL, GENERAL, OTHER, BreakerState

ENOUGH = 100
"""Lookups below which a share says little."""

ERRORS = 0.01
"""Share of lookups that may end in trouble before it is one."""

POOR = 0.5
"""Hit rate below which the chief reason of the misses is named."""

CHIEF = 0.5
"""Share of the misses that makes a reason the chief one."""

CURES = {
    "expired": "raise its TTL if the values stay right for longer: CACHE_TTL_{name}",
    "evicted": "raise the server's maxmemory",
    "invalidated": "invalidate narrower: a tag of the thing that changed in place of the category or a pattern",
    "changed": "the files it is made from change all the time; leave them out, or do not cache it",
    "cold": "every key is asked for once: take what varies and does not matter out of the key, or warm it",
    "version": "processes of several versions write in turns: bring all to the same one",
    "corrupt": "something else writes under the cache's keys, or the signing keys differ: see `glasscache doctor`",
}
"""What to do about a category whose misses have this reason most of the time."""


LOSING = "stop caching it, or bring the store nearer: a computation costs less than a lookup"


def signs(window: Figures, total: Figures, about: Mapping[str, Any]) -> list[dict[str, str]]:
    """What is wrong, the worst first; level, what, found and cure, as the doctor's findings.

    Args:
        window: of the last minutes.
        total: since counting began.
        about: whose figures these are.
    """
    found = [*_store(total), *_errors(window), *_categories(window), *_figures(total, about)]
    return sorted(found, key=lambda one: one["level"] != "fail")


def _sign(level: str, what: str, found: str, cure: str) -> dict[str, str]:
    return {"level": level, "what": what, "found": found, "cure": cure}


def _store(total: Figures) -> Iterator[dict[str, str]]:
    for name, state in sorted(total.breakers.items()):
        if state is not BreakerState.CLOSED:
            words = "does not answer, nothing is asked of it" if state is BreakerState.OPEN else "is being tried again"
            cure = "start the server, or see `glasscache doctor`; everything is computed meanwhile"
            yield _sign("fail" if state is BreakerState.OPEN else "warn", "store", f"{name} {words}", cure)


def _errors(window: Figures) -> Iterator[dict[str, str]]:
    every = account(window, None)
    lookups = sum(every[name] for name in ("hit", "miss", "stale", "error"))
    if lookups and every["error"] / lookups > ERRORS:
        kinds = ", ".join(f"{kind} {n}" for kind, n in every["errors"].items())
        yield _sign(
            "fail", "errors", f"{every['error'] / lookups:.1%} of the lookups ({kinds})", "see `glasscache doctor`"
        )


def _categories(window: Figures) -> Iterator[dict[str, str]]:
    for name in sorted({name for name, *_ in window.requests} - {ALL, GENERAL, OTHER}):
        found = account(window, name)
        hits, misses = found["hit"], found["miss"]
        if hits + misses < ENOUGH:
            continue
        reason, n = max(found["reasons"].items(), key=lambda item: item[1], default=("", 0))
        poor = hits / (hits + misses) < POOR and n > CHIEF * misses and reason in CURES
        loses = found["spent_s"] > found["avoided_s"]
        if not (poor or loses):
            continue
        said = f"hits {hits / (hits + misses):.0%}"
        if poor:
            said += f", {n / misses:.0%} of the misses are {reason}"
        if loses:
            said += "; costs more time than it saves"
        yield _sign("warn", name, said, CURES[reason].format(name=name.upper()) if poor else LOSING)


def _figures(total: Figures, about: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    if not about["complete"]:
        yield _sign("warn", "figures", str(about["note"] or "not complete"), "see GET /cache/metrics?scope=fleet")
    if total.dropped:
        yield _sign("warn", "telemetry", f"{total.dropped} events were not recorded", "see the log for the first one")
