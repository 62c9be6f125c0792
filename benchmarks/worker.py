"""The process of one contender in one state: ``python -m benchmarks.worker CONTENDER STATE``.

Reads one JSON object a line, does it, answers by one. It is silent and idle between two questions, so that the
other contenders' rounds have the core to themselves.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
import traceback
from typing import Any

from benchmarks import paces, states
from benchmarks.cases import case
from benchmarks.contenders import BASE, Contender, Job, ours
from benchmarks.local_tier import LOCAL
from benchmarks.peers import HAND, PEERS
from benchmarks.pieces import PIECES
from benchmarks.place import pin


def contender(name: str) -> Contender:
    """A contender by name; the cache is imported where it is measured only.

    Raises:
        StopIteration: there is none.
    """
    without = {each.name: each for each in (BASE, HAND, *PEERS, LOCAL, PIECES)}
    return without[name] if name in without else next(each for each in ours() if each.name == name)


class Worker:
    """What a worker does; each method is one question.

    Args:
        who: the contender.
        state: the telemetry it runs under.
    """

    def __init__(self, who: Contender, state: states.State) -> None:
        self._who, self._state = who, state
        self._loop = asyncio.new_event_loop()
        self._jobs: dict[str, Job] = {}
        self._calls = 0

    def pin(self, cores: list[int]) -> dict[str, Any]:
        """Stay on some cores from now on."""
        pin(0, cores)
        return {}

    def open(self, job: str, name: str, url: str, slot: str = "") -> dict[str, Any]:
        """Open a job, check that it gives what it should, and warm it up; ``slot`` keeps several open."""
        value = case(name)
        opened = self._who.jobs[job](url, value)
        ready = opened if isinstance(opened, Job) else self._loop.run_until_complete(_awaited(opened))
        self._jobs[slot] = ready
        got = self._once(ready)
        if not ready.check(got):
            raise ValueError(f"{self._who.name} {job} {name}: a wrong answer, {str(got)[:80]}")
        for _ in range(100):
            self._once(ready)
        gc.collect()
        self._state.flush()
        return {}

    def paced(self, n: int, rate: float, slot: str = "") -> dict[str, Any]:
        """``n`` calls at ``rate`` a second."""
        return self._told(paces.paced(self._jobs[slot], self._loop, n, rate))

    def flood(self, seconds: float, limit: int, slot: str = "") -> dict[str, Any]:
        """One call after the other, until the spans of all of them are out."""
        return self._told(paces.flood(self._jobs[slot], self._loop, seconds, limit, self._state.flush))

    def bursts(self, count: int, size: int, pause_s: float, slot: str = "") -> dict[str, Any]:
        """Bursts of calls that are too short to be paced one by one."""
        return self._told(paces.bursts(self._jobs[slot], count, size, pause_s))

    def crowd(self, tasks: int, seconds: float, limit: int, slot: str = "") -> dict[str, Any]:
        """Calls of many tasks at a time."""
        told = self._told(paces.crowd(self._jobs[slot], self._loop, tasks, seconds, limit))
        self._state.flush()
        return told

    def threads(self, threads: int, seconds: float, limit: int, slot: str = "") -> dict[str, Any]:
        """Calls of many threads at a time."""
        told = self._told(paces.threads(self._jobs[slot], threads, seconds, limit))
        self._state.flush()
        return told

    def collect(self, count: int) -> dict[str, Any]:
        """Exports of the metrics: ms of CPU for each."""
        took = []
        for _ in range(count):
            before = time.process_time()
            self._state.collect()
            took.append((time.process_time() - before) * 1000)
        return {"took": took}

    def account(self) -> dict[str, Any]:
        """Calls since the last account, and all that was dropped so far; when it is given, all spans are out."""
        flushed, calls = self._state.flush(), self._calls
        self._calls = 0
        return {"calls": calls, "dropped": self._state.dropped(), "flushed": flushed}

    def _once(self, job: Job) -> Any:
        self._calls += 1
        return self._loop.run_until_complete(_awaited(job.call())) if job.asynchronous else job.call()

    def _told(self, found: dict[str, Any]) -> dict[str, Any]:
        self._calls += found["calls"]
        return found


async def _awaited(something: Any) -> Any:
    return await something


def main(name: str, state: str) -> None:
    """Answer until there are no more questions."""
    questions, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    who = contender(name)
    worker = Worker(who, states.enter(state, who.setup))
    print("{}", file=answers, flush=True)
    for line in questions:
        asked = json.loads(line)
        try:
            answer = getattr(worker, asked.pop("do"))(**asked)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"[:200]}
        print(json.dumps(answer), file=answers, flush=True)
    # nobody waits for exporters to say good-bye
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
