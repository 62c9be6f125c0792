"""An application of FastAPI over an async cache, for uvicorn with two workers: asked over HTTP by ``web``.

Its own words: ``/ask/{key}``, ``/change/{key}``, ``/slow/{key}`` (a computation of ``seconds``), ``/holds``.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.middleware.base import BaseHTTPMiddleware

from cache import AsyncCache
from faults.book import now
from faults.callers import Noting, name_of
from faults.truth import SLOTS, Truth
from faults.watching import LoopWatch, Stopwatch, holding

SHARED = Path(os.environ["FAULTS_SHARED"])


def claimed_slot(folder: Path) -> int:
    """A slot that no other process has; 0 is the parent's."""
    for slot in range(1, SLOTS):
        try:
            os.close(os.open(folder / f"slot-{slot}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        return slot
    raise RuntimeError("no slot is free")


class Worker:
    """What one worker process has."""

    def __init__(self) -> None:
        self.truth = Truth(SHARED / "truth", claimed_slot(SHARED))
        self.watch = LoopWatch()
        self.recorder = Noting()
        settings = json.loads(os.environ["FAULTS_SETTINGS"])
        self.cache = AsyncCache.from_url(os.environ["FAULTS_URL"], recorder=self.recorder, **settings)

    def lag(self) -> float:
        longest, self.watch.longest = self.watch.longest, 0.0
        return longest


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    worker = app.state.worker = Worker()
    watching = asyncio.create_task(worker.watch.run())
    yield
    watching.cancel()
    await worker.cache.aclose()


app = FastAPI(lifespan=lifespan)


async def timed(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """A middleware of the application's own, as many have one: it may end a request whose client has gone."""
    return await call_next(request)


app.add_middleware(BaseHTTPMiddleware, dispatch=timed)


@app.get("/ask/{key}")
async def ask(key: int) -> dict[str, Any]:
    """One call of the cache: how long it took, and whether its value was legal."""
    worker: Worker = app.state.worker
    truth, computed = worker.truth, []

    def compute() -> dict[str, int]:
        computed.append(key)
        return truth.compute(key)

    lowest, at, watch, error, value = truth.floor(key), now(), Stopwatch(), "", None
    try:
        value = await worker.cache.get_or_compute("context", name_of(key), compute)
    except Exception as trouble:
        error = f"{type(trouble).__name__}: {trouble}"
    took = watch.read()
    return {
        "at": at,
        "took": took,
        "hit": not computed and not error,
        "wrong": not error and not truth.legal(key, lowest, value),
        "error": error,
        "lag": worker.lag(),
        "pid": os.getpid(),
    }


@app.get("/change/{key}")
async def change(key: int) -> dict[str, int]:
    """A new version, invalidated."""
    worker: Worker = app.state.worker
    version = worker.truth.change(key)
    done = await worker.cache.invalidate(tags=[f"task:t{key}"])
    worker.truth.raise_floor(key, version, everywhere=done > 0)
    return {"done": done}


@app.get("/slow/{key}")
async def slow(key: int, seconds: float) -> Any:
    """A computation that takes its time."""
    worker: Worker = app.state.worker

    async def compute() -> dict[str, int]:
        made = worker.truth.compute(key)
        await asyncio.sleep(seconds)
        return made

    return await worker.cache.get_or_compute("context", name_of(key), compute)


@app.get("/holds")
async def holds() -> dict[str, Any]:
    """What this worker holds."""
    worker: Worker = app.state.worker
    held = holding(len(asyncio.all_tasks()))
    return {
        "pid": os.getpid(),
        "descriptors": held.descriptors,
        "threads": held.threads,
        "tasks": held.tasks,
        "mib": held.mib,
        "transitions": worker.recorder.changes,
    }
