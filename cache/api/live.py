"""What the page shows, kept up to date for all who look: one look at the figures for however many there are."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson

from cache.api.problems import ProblemError
from cache.insight.board import board
from cache.insight.signs import signs
from cache.insight.timeline import Timeline
from telemetry.figures import Figures

PACE_S = 2.0
"""Between two looks."""

EXAMINED_S = 60.0
"""Between two examinations while somebody looks; they ask the store and the Collector."""

MOST_STREAMS = 32
"""Of one worker; further ones are told to come back."""

Look = Callable[[], tuple[Figures, Mapping[str, Any]]]
"""Gives figures and whose they are (as ``Fleet.look``); may block."""

Examine = Callable[[], list[Mapping[str, str]]]
"""Gives findings with their cures; may block."""

_log = logging.getLogger("glasscache")


def no_findings() -> list[Mapping[str, str]]:
    """Where nobody examines."""
    return []


class Live:
    """Looks again and again, remembers the last minutes, and tells whoever streams; for one event loop.

    Args:
        look: asked in a thread.
        categories: in which order they are shown.
        health: the store's.
        examine: asked in a thread, and only while somebody looks.
        parts: further parts of the page by name, each asked in a thread while somebody looks.
        links: addresses by name.
        now: seconds since the epoch.
    """

    most = MOST_STREAMS
    pace_s = PACE_S

    def __init__(
        self,
        look: Look,
        categories: Callable[[], Iterable[str]],
        *,
        examine: Examine = no_findings,
        parts: Mapping[str, Callable[[], Any]] | None = None,
        links: Mapping[str, str] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._look, self._categories, self._examine = look, categories, examine
        self._parts, self._links, self._now = dict(parts or {}), dict(links or {}), now
        self._timeline = Timeline()
        self._findings: list[Mapping[str, str]] = []
        self._examined = -EXAMINED_S
        self._frame = b""
        self._number = 0
        self._ended = False
        self._streams = 0
        self._turned = asyncio.Event()
        self._stepping = asyncio.Lock()
        self._examining: asyncio.Task[None] | None = None

    @property
    def number(self) -> int:
        """Which frame is the last; 0 before the first."""
        return self._number

    @property
    def ended(self) -> bool:
        """Whether no frame comes any more."""
        return self._ended

    @property
    def frame(self) -> bytes:
        """The last frame, as JSON."""
        return self._frame

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look on inside the ``with``."""
        self._ended, task = False, asyncio.create_task(self._run())
        try:
            yield
        finally:
            self.end()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def end(self) -> None:
        """End all streams; call it in the loop."""
        self._ended = True
        self._turn()

    @asynccontextmanager
    async def entered(self) -> AsyncIterator[None]:
        """One stream's place.

        Raises:
            ProblemError: 503, when all are taken.
        """
        if self._streams >= self.most:
            wait = {"Retry-After": "30"}
            raise ProblemError(503, "too_many_streams", f"{self.most} pages are open; close one, or wait", wait)
        self._streams += 1
        try:
            if self._streams == 1:
                # what was made while nobody looked may be old
                await self._step()
            yield
        finally:
            self._streams -= 1

    async def turned(self, seconds: float) -> None:
        """Wait for the next frame, or the end, for so long at most."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._turned.wait(), seconds)

    def _turn(self) -> None:
        turned, self._turned = self._turned, asyncio.Event()
        turned.set()

    async def _run(self) -> None:
        while True:
            try:
                await self._step()
            except Exception as fault:
                _log.warning("the page cannot be brought up to date: %s", type(fault).__name__)
            await asyncio.sleep(self.pace_s)

    async def _step(self) -> None:
        async with self._stepping:
            figures, about = await asyncio.to_thread(self._look)
            self._timeline.add(self._now(), figures, (about["scope"], about["since"]))
            if not self._streams:
                return
            self._examine_now_and_then()
            parts = {name: await asyncio.to_thread(part) for name, part in self._parts.items()}
            shown = board(self._now(), figures, self._timeline, self._categories())
            findings = [*signs(self._timeline.window(), figures, about), *self._findings]
            self._frame = orjson.dumps(
                {**shown, "about": about, "findings": findings, "links": self._links, "parts": parts}
            )
            self._number += 1
        self._turn()

    def _examine_now_and_then(self) -> None:
        """Nobody waits for it: what is wrong with the store or the Collector may make it slow."""
        busy = self._examining is not None and not self._examining.done()
        if not busy and time.monotonic() - self._examined >= EXAMINED_S:
            self._examined = time.monotonic()
            self._examining = asyncio.create_task(self._examine_now())

    async def _examine_now(self) -> None:
        try:
            self._findings = await asyncio.to_thread(self._examine)
        except Exception as fault:
            _log.warning("the store cannot be examined for the page: %s", type(fault).__name__)
