"""The third form of caller: FastAPI under uvicorn with two workers, asked over HTTP."""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faults.book import Book, now
from faults.callers import BURST, Burst, Load
from faults.truth import KEYS
from faults.watching import Holding

WORKERS = 2
CHANGE_S = 0.2
"""Between two invalidations: requests are fewer than calls."""
TESTS = Path(__file__).resolve().parent.parent
ROUNDS = 30
"""Requests over one connection: the next may meet another worker."""


class Site:
    """The application, served by uvicorn.

    Args:
        folder: that its workers and this process share.
        url: of the store.
        settings: of the workers' caches.
    """

    def __init__(self, folder: Path, url: str, settings: dict[str, Any]) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        # uvicorn's workers inherit the listener, and asyncio then leaves Nagle's algorithm on: 40 ms an answer
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = listener.getsockname()[1]
        environment = {
            **os.environ,
            "FAULTS_SHARED": str(folder),
            "FAULTS_URL": url,
            "FAULTS_SETTINGS": json.dumps(settings),
            "PYTHONPATH": f"{TESTS}:{TESTS.parent}",
        }
        command = [
            sys.executable, "-m", "uvicorn", "faults.webapp:app", "--workers", str(WORKERS),
            "--fd", str(listener.fileno()), "--log-level", "warning", "--timeout-graceful-shutdown", "3",
        ]  # fmt: skip
        self._errors = folder / "uvicorn.log"
        with self._errors.open("w") as errors:
            self.process = subprocess.Popen(
                command, env=environment, stdout=errors, stderr=errors, pass_fds=(listener.fileno(),)
            )
        listener.close()
        self.pids = self._until_all_answer()

    def _until_all_answer(self) -> set[int]:
        give_up, seen = time.monotonic() + 60, set()
        while len(seen) < WORKERS:
            if self.process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"uvicorn did not start: {self._errors.read_text()[-2000:]}")
            try:
                seen.add(self.fresh("/holds")["pid"])
            except OSError:
                time.sleep(0.05)
        return seen

    def connection(self) -> http.client.HTTPConnection:
        """A new connection."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def fresh(self, path: str) -> dict[str, Any]:
        """One request over a connection of its own."""
        connection = self.connection()
        try:
            return answer_of(connection, path)
        finally:
            connection.close()

    def held(self) -> dict[int, dict[str, Any]]:
        """What each worker holds, by its process id."""
        found: dict[int, dict[str, Any]] = {}
        give_up = time.monotonic() + 60
        while set(found) < self.pids and time.monotonic() < give_up:
            told = self.fresh("/holds")
            found[told["pid"]] = told
        return found

    def end(self) -> float:
        """SIGTERM; seconds until it has ended."""
        began = time.perf_counter()
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return time.perf_counter() - began


def answer_of(connection: http.client.HTTPConnection, path: str) -> dict[str, Any]:
    """The JSON that a path answers with.

    Raises:
        RuntimeError: another status than 200.
    """
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"HTTP {answer.status}")
    return dict(json.loads(body))


class Web:
    """The site under load from threads that are its clients."""

    def __init__(self, load: Load, folder: Path) -> None:
        self.book, self._load = Book(), load
        self.site = Site(folder, load.url, load.settings)
        self._lag = 0.0
        self._over, self._go = threading.Event(), threading.Event()
        self._go.set()
        self._asking = threading.Semaphore(load.callers + 1)
        self._pool = ThreadPoolExecutor(load.callers + 1)
        self._before = self.holds()
        self._running = [self._pool.submit(self._repeat, "/ask", load.pace_s) for _ in range(load.callers)]
        if load.changing:
            self._running.append(self._pool.submit(self._repeat, "/change", CHANGE_S))

    def _repeat(self, word: str, pace_s: float) -> None:
        while not self._over.is_set():
            connection = self.site.connection()
            for _ in range(ROUNDS):
                if self._over.wait(pace_s) or not self._go.wait(1):
                    break
                with self._asking:
                    self._ask(connection, f"{word}/{random.randrange(KEYS)}")
            connection.close()

    def _ask(self, connection: http.client.HTTPConnection, path: str) -> float:
        at = now()
        try:
            told = answer_of(connection, path)
        except Exception as trouble:
            self.book.note(at, now() - at, hit=False, error=f"{type(trouble).__name__}: {trouble}")
            connection.close()
            return now() - at
        if "took" in told:
            self._lag = max(self._lag, told["lag"])
            self.book.note(told["at"], told["took"], hit=told["hit"], wrong=told["wrong"], error=told["error"])
            return float(told["took"])
        return now() - at

    @contextmanager
    def paused(self) -> Iterator[None]:
        self._go.clear()
        held = self._load.callers + 1
        for _ in range(held):
            self._asking.acquire()
        try:
            for _ in range(held):
                self._asking.release()
            yield
        finally:
            self._go.set()

    def burst(self, count: int = BURST) -> Burst:
        connection = self.site.connection()
        try:
            return Burst(self._ask(connection, f"/ask/{n % KEYS}") for n in range(count))
        finally:
            connection.close()

    def lag(self) -> float | None:
        longest, self._lag = self._lag, 0.0
        return longest

    def holds(self) -> Holding:
        held = self.site.held().values()
        return Holding(*(sum(one[name] for one in held) for name in ("descriptors", "threads", "tasks", "mib")))

    def transitions(self) -> int:
        return sum(one["transitions"] for one in self.site.held().values())

    def close(self) -> Holding:
        self._over.set()
        self._go.set()
        for each in self._running:
            each.result(60)
        self._pool.shutdown()
        left = self._settled(lambda: self.holds().above(self._before))
        took = self.site.end()
        if took > 10:
            raise RuntimeError("uvicorn did not end")
        return left

    def _settled(self, look: Callable[[], Holding]) -> Holding:
        """The store's own connections are open still: those of two workers, of one loop each."""
        give_up = time.monotonic() + 60
        allowed = WORKERS * (self._load.callers + 1)
        while (left := look()).descriptors > allowed and time.monotonic() < give_up:
            time.sleep(0.1)
        beyond = max(0, left.descriptors - allowed)
        return Holding(beyond, max(0, left.threads - WORKERS), max(0, left.tasks - 4 * WORKERS), left.mib)

    def abandon(self) -> None:
        """End the load over a site that has gone."""
        self._over.set()
        self._go.set()
        self._pool.shutdown()
