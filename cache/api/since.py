"""``?since=``: the figures of a stretch of this process's past until now, beside those of the stretch before it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from pydantic import BaseModel, Field

from cache.api.problems import ProblemError
from cache.errors import SnapshotError
from cache.insight.comparing import compare
from cache.insight.past import PACE_S, GoneError, Past
from cache.insight.snapshots import read
from cache.metrics import CacheMetrics, summarise
from telemetry.figures import Figures


class Change(BaseModel):
    """One comparison of two stretches."""

    category: str = Field(description="The category.")
    what: str = Field(description="hit_ratio, misses.REASON, errors.KIND (per lookup), hit.p95 and the like, saved.")
    before: float = Field(description="What is shown of before.")
    after: float = Field(description="What is shown of after.")
    tested: tuple[float, float] = Field(description="What was compared: of a quantile the share that is slower.")
    difference: float = Field(description="Of what was compared, after less before.")
    by_chance: float = Field(description="How far chance alone goes in 95 of 100 comparisons.")
    chance_share: float = Field(description="How much of the difference chance explains, 0 to 1.")
    p: float = Field(description="How often chance alone goes as far.")
    q: float = Field(description="The same, corrected for the number of comparisons.")
    verdict: str = Field(description="worse, better, other, or same: chance explains it, or it is too small.")
    slower_than_s: float | None = Field(description="The bucket's boundary next to the quantile, seconds.")


class Compared(BaseModel):
    """What changed between two stretches, and how much of it chance explains."""

    before_since: float = Field(description="When the stretch before begins, seconds since the epoch.")
    same_accounts: bool = Field(description="True: one stretch follows the other.")
    lookups: tuple[int, int] = Field(description="Hits and misses, before and after.")
    hit_ratio: tuple[float | None, float | None] = Field(description="Of all categories, before and after.")
    by_mix: float | None = Field(description="How much of its difference comes of the mix of categories.")
    level: float = Field(description="The corrected p up to which a change is told.")
    changes: list[Change] = Field(description="Every comparison, what is told first.")
    gone: list[str] = Field(description="Categories with lookups before only.")
    new: list[str] = Field(description="Categories with lookups after only.")
    verdict: str = Field(description="worse, better or same.")
    comparisons: int = Field(description="How many there are.")


class Since:
    """The figures of one process, and its past.

    Args:
        metrics: whose.
    """

    def __init__(self, metrics: CacheMetrics, past: Past | None = None) -> None:
        self._metrics, self._ledger = metrics, metrics.recorder.ledger
        self._past = past or Past(self._ledger.figures, time.time, os.urandom)

    @asynccontextmanager
    async def remembering(self) -> AsyncIterator[None]:
        """Takes a snapshot every ten seconds inside the ``with``."""

        async def run() -> None:
            while True:
                await asyncio.to_thread(self._past.take, timed=True)
                await asyncio.sleep(PACE_S)

        task = asyncio.create_task(run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def summary(self, since: str | None) -> dict[str, Any]:
        """The JSON of ``GET /cache/metrics``.

        Args:
            since: where the stretch begins; None takes all that was counted.

        Raises:
            ProblemError: 422 for what is no beginning, 404 for one that is not kept.
        """
        if since is None:
            return self._metrics.summary() | {"snapshot": self._past.take().name}
        now = self._ledger.figures()
        try:
            kept = self._past.find(since, now.since)
        except GoneError as error:
            raise ProblemError(404, "snapshot_gone", str(error)) from None
        except SnapshotError as error:
            raise ProblemError(422, "since", str(error)) from None
        own = {"scope": "process", "process": os.getpid(), "workers": 1, "complete": True}
        own["snapshot"] = self._past.take().name
        if kept is None:
            return self._of(now) | own
        begun = kept.figures()
        found = self._of(now.after(begun))
        before = self._before(begun, 2 * kept.at - time.time(), now.since)
        compared = compare(read(self._of(before)), read(found), same_accounts=True).as_dict()
        return found | own | {"compared": compared | {"before_since": before.since}}

    def _before(self, begun: Figures, at: float, began: float) -> Figures:
        """A stretch of the same length before, where the past goes back that far; else all that was before."""
        earlier = self._past.last_before(at)
        if earlier is not None:
            return begun.after(earlier.figures())
        begun.since = began
        return begun

    def _of(self, figures: Figures) -> dict[str, Any]:
        return summarise(figures, self._ledger.categories())
