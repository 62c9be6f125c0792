"""The harness: a row is played by one form of caller over one path, and comes out as figures."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from cache.testing import EmbeddedServer, RoundTripProxy
from faults.book import Note, now, quantile, share_of_hits
from faults.callers import Caller, Load, Tasks, Threads
from faults.figures import Figures
from faults.place import Place
from faults.registry import Fault, Row, Trial
from faults.truth import Truth
from faults.watching import holding
from faults.web import WORKERS, Web

WARM_S, SHORT_WARM_S = 1.5, 0.8
GIVE_UP_S = 8.0
"""After so long without recovery there is none."""

BACK = 0.95
"""Share of the earlier hit ratio that counts as recovered."""


def play(row: Row, form: str, path: str, *, short: bool) -> Figures:
    """Play a row once."""
    with _place(row, short) as place:
        if isinstance(row, Trial):
            return row.play(place, form, path)
        return _under_load(row, place, form, path)


@contextmanager
def _place(row: Row, short: bool) -> Iterator[Place]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faults-")))
        server = stack.enter_context(EmbeddedServer(row.maxmemory, row.options, port=0))
        proxy = stack.enter_context(RoundTripProxy(server.url)) if row.proxy else None
        place = Place(server, Truth(folder / "truth"), folder, short, proxy)
        stack.callback(place.close)
        yield place


def _caller(row: Fault, place: Place, form: str, path: str) -> Caller:
    load = Load(place.url, place.truth, row.callers, {"fast_path": path == "fast", **row.settings}, pace_s=row.pace_s)
    if form == "sync":
        return Threads(load)
    return Tasks(load) if form == "asyncio" else Web(load, place.folder)


def _under_load(row: Fault, place: Place, form: str, path: str) -> Figures:
    lasts = min(row.lasts_s / 3, row.short_s) if place.short else row.lasts_s
    # what the place itself holds is no leak of the cache's
    place.admin.ping()
    act = row.act(place)
    if row.prepares:
        next(act)
    caller = _caller(row, place, form, path)
    figures = Figures()
    try:
        warm_from = _until_warm(caller)
        time.sleep(SHORT_WARM_S if place.short else WARM_S)
        mib, computed, changes = holding().mib, place.truth.computed(), caller.transitions()
        if form == "web":
            with caller.paused():
                # over HTTP the calls' own way counts: what 50 take when all is well
                figures.more["50 calls before"] = round(sum(caller.burst()) * 1000, 1)
                # each worker meets the fault by itself
                figures.more["processes"] = WORKERS
        lag_before = caller.lag()
        began = now()
        with caller.paused():
            next(act)
            burst = caller.burst()
        _last(act, row, lasts)
        lag = caller.lag()
        computed = place.truth.computed() - computed
        act.close()
        healed = now()
        before = caller.book.between(warm_from, began)
        during = caller.book.between(began, healed)
        figures.recovery_s = _recovery(caller, healed, BACK * share_of_hits(before))
        figures.more["transitions"] = caller.transitions() - changes
        figures.mib = round(max(0.0, holding().mib - mib), 1)
    finally:
        act.close()
        left = caller.close()
    _fill(figures, caller.book.notes, before, during, burst)
    if lag is not None and lag_before is not None:
        figures.lag_ms = lag * 1000
        figures.more["lag before"] = round(lag_before * 1000, 1)
    figures.leaks = left.leaks
    if left.leaks:
        figures.more["held after the end"] = f"{left}"
    if row.expected is not None:
        figures.origin = computed / max(1.0, row.expected(place, len(during)))
    figures.more |= place.more
    return figures


def _until_warm(caller: Caller) -> float:
    """When the callers began to hit; the first misses are no fault's."""
    give_up = time.monotonic() + 60
    while sum(note.hit for note in caller.book.notes[-200:]) < 150:
        if time.monotonic() > give_up:
            raise TimeoutError(f"the callers never hit: {caller.book.notes[-3:]}")
        time.sleep(0.02)
    return now()


def _recovery(caller: Caller, healed: float, ratio: float) -> float:
    """Seconds until the hit ratio is back; infinite when it never is."""
    while now() < healed + GIVE_UP_S:
        time.sleep(0.1)
        found = caller.book.recovered_after(healed, ratio)
        if found is not None:
            return found
    return float("inf")


def _last(act: Any, row: Fault, lasts: float) -> None:
    """Let the fault last; go on with it where it has several steps."""
    end = now() + lasts
    while (left := end - now()) > 0:
        time.sleep(min(left, row.every_s or left))
        if row.every_s and now() < end:
            with suppress(StopIteration):
                next(act)


def _fill(figures: Figures, every: list[Note], before: list[Note], during: list[Note], burst: list[float]) -> None:
    figures.wrong = sum(note.wrong for note in every)
    troubles = [note.error for note in every if note.error]
    figures.errors = len(troubles)
    if troubles:
        figures.more["first error"] = troubles[0][:200]
    figures.calls = len(during)
    figures.burst_ms = max(0.0, sum(burst) * 1000 - figures.more.get("50 calls before", 0.0))
    figures.first_ms = burst[0] * 1000
    p99 = [quantile([note.took for note in notes], 0.99) for notes in (before, during)]
    figures.p99_ms = max(0.0, (p99[1] - p99[0]) * 1000)
    figures.more["hits before"] = round(share_of_hits(before), 3)
    figures.more["hits during"] = round(share_of_hits(during), 3)
