"""Worker processes: started afresh, restarted when they die, ended together.

A worker is started by spawn, so that nothing of the parent (providers, locks, sockets of its own) is
inherited; what it needs is handed over: its index, which a restarted one keeps, and a task.

    start -> ready -> dies        -> started again, at once after a long life, later after short ones
          -> ends before it ever was ready -> it cannot start: all are ended, the reason is raised
          -> finds that nobody reads the output any more -> all are ended
    SIGTERM, SIGINT -> all are asked to end, and after a while made to
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection, resource_tracker
from multiprocessing.context import SpawnProcess
from typing import Generic, TypeVar

from cache.errors import CacheError, WorkerError
from cache.stopping import SIGNALS, Stop, signals_held_back

END_S = 4.5
"""How long workers may take to end before they are killed."""

STEADY_S = 10.0
"""A worker that lived as long as this died by accident; a shorter life counts as a failed start."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
"""Before a worker is started again: doubled after each short life."""

CANNOT_START = 78
"""Exit code of a worker that ended by a named error (EX_CONFIG of sysexits.h)."""

UNREAD = 74
"""Exit code of a worker whose output nobody reads any more (EX_IOERR of sysexits.h)."""

T = TypeVar("T")

_log = logging.getLogger("glasscache")


@dataclass(frozen=True, slots=True)
class Worker:
    """What a worker is told.

    Args:
        index: from 0; a restarted worker has that of the one before.
        stop: when to end.
        ready: to be called once everything that can be wrong at the start was right.
    """

    index: int
    stop: Stop
    ready: Callable[[], None]


Target = Callable[[Worker, T], None]
"""A worker's work, a function of a module: it returns when ``stop`` says so."""


def run_workers(target: Target[T], task: T, count: int = 1) -> None:
    """Run ``count`` workers until SIGTERM or SIGINT; a single one is this very process.

    Args:
        target: called with the worker and the task.
        task: is pickled for each worker when there are several; sockets may be in it.

    Raises:
        CacheError, ValueError: a worker cannot start; the others were ended.
        BrokenPipeError: nobody reads a worker's output any more; all were ended.
    """
    if count > 1:
        Supervisor(target, task, count).run()
        return
    with Stop() as stop:
        target(Worker(0, stop, lambda: None), task)


def pause_before(short_lives: int) -> float:
    """Seconds to wait before a worker is started again after so many short lives in a row."""
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(max(0, short_lives - 1), 30))


def cannot_start(code: int, *, proven: bool) -> bool:
    """True when a worker ended by itself, with a failure, and its seat never held one that was ready.

    Args:
        code: its exit code; negative when a signal ended it.
    """
    return code > 0 and not proven


@dataclass(slots=True)
class _Seat:
    """One worker's place: a process and when it began, or none and when the next one is to begin."""

    index: int
    process: SpawnProcess | None = None
    words: connection.Connection | None = None
    began: float = 0.0
    proven: bool = False
    short_lives: int = 0

    def heard(self) -> list[str | None]:
        """What the worker has said: None for ready, otherwise why it cannot start."""
        said: list[str | None] = []
        with suppress(EOFError, OSError):
            while self.words is not None and self.words.poll():
                said.append(self.words.recv())
        return said


class Supervisor(Generic[T]):
    """Holds every seat taken until it is told to stop.

    Args:
        target, task, count: as ``run_workers``.
    """

    def __init__(self, target: Target[T], task: T, count: int) -> None:
        self._target, self._task = target, task
        self._seats = [_Seat(index) for index in range(count)]
        self._spawn = multiprocessing.get_context("spawn")

    def run(self) -> None:
        """Start, watch, restart; end all of them at the end.

        Raises:
            WorkerError: a worker cannot start.
            BrokenPipeError: nobody reads a worker's output any more.
        """
        # it would unblock the signals that are held back around each start
        resource_tracker.ensure_running()
        with Stop() as stop:
            try:
                while not stop.wait():
                    now = time.monotonic()
                    for seat in self._seats:
                        self._look_after(seat, now)
                    connection.wait([stop.fileno(), *self._sentinels()], self._patience())
            finally:
                self._end()

    def _sentinels(self) -> list[int]:
        return [seat.process.sentinel for seat in self._seats if seat.process is not None]

    def _patience(self) -> float | None:
        """Seconds until the next seat is due; None when all are taken."""
        due = [seat.began for seat in self._seats if seat.process is None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _look_after(self, seat: _Seat, now: float) -> None:
        if seat.process is None:
            if seat.began <= now:
                self._start(seat)
        elif seat.process.exitcode is not None:
            self._died(seat, seat.process.exitcode, now)

    def _start(self, seat: _Seat) -> None:
        try:
            seat.process, seat.words = self._spawned(seat.index)
        except OSError as error:
            # no memory, no process id or no descriptor left: at the start that is the end, later it passes
            why = f"cannot be started: {error.strerror or error}"
            if not seat.proven:
                raise WorkerError(f"worker {seat.index} {why}") from None
            self._again(seat, time.monotonic(), why, short=True)
            return
        seat.began = time.monotonic()

    def _spawned(self, index: int) -> tuple[SpawnProcess, connection.Connection]:
        reader, words = self._spawn.Pipe(duplex=False)
        process = self._spawn.Process(
            target=_enter,
            args=(self._target, self._task, index, words),
            name=f"glasscache-worker-{index}",
            daemon=True,
        )
        try:
            with signals_held_back():
                process.start()
        except BaseException:
            reader.close()
            raise
        finally:
            words.close()
        return process, reader

    def _died(self, seat: _Seat, code: int, now: float) -> None:
        """Make the seat due again, or give up on all when its worker cannot start or is not read."""
        said = seat.heard()
        self._clear(seat)
        seat.proven = seat.proven or None in said
        reasons = [word for word in said if word is not None]
        how = f"by signal {-code}" if code < 0 else f"with code {code}"
        if code == UNREAD:
            raise BrokenPipeError(f"nobody reads the output of worker {seat.index}")
        if cannot_start(code, proven=seat.proven):
            raise WorkerError(reasons[0] if reasons else f"worker {seat.index} ended {how} before it was ready")
        self._again(seat, now, f"ended {how}{_because(reasons)}", short=now - seat.began < STEADY_S)

    def _again(self, seat: _Seat, now: float, why: str, *, short: bool) -> None:
        seat.short_lives = seat.short_lives + 1 if short else 0
        wait_s = pause_before(seat.short_lives)
        seat.began = now + wait_s
        _log.warning("worker %d %s; the next one begins in %.1f s", seat.index, why, wait_s)

    def _clear(self, seat: _Seat) -> None:
        if seat.process is not None:
            seat.process.join()
            seat.process.close()
        if seat.words is not None:
            seat.words.close()
        seat.process = seat.words = None

    def _end(self) -> None:
        """Ask every worker to end, kill those that are late."""
        seats = [seat for seat in self._seats if seat.process is not None]
        give_up = time.monotonic() + END_S
        for seat in seats:
            if seat.process is not None:
                seat.process.terminate()
        for seat in seats:
            if seat.process is not None:
                seat.process.join(max(0.0, give_up - time.monotonic()))
                if seat.process.is_alive():
                    _log.warning("worker %d did not end in %.1f s and is killed", seat.index, END_S)
                    seat.process.kill()
            self._clear(seat)


def _because(reasons: list[str]) -> str:
    return f" ({reasons[0]})" if reasons else ""


def _enter(target: Target[T], task: T, index: int, words: connection.Connection) -> None:
    """A worker's process, from its first line to its last."""
    told: list[bool] = []

    def ready() -> None:
        told.append(True)
        with suppress(OSError):
            words.send(None)

    with Stop() as stop:
        _end_with_the_parent()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        try:
            if not stop.wait():
                target(Worker(index, stop, ready), task)
        except BrokenPipeError:
            # or the interpreter would try once more at its end, and complain
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(UNREAD)
        except (CacheError, ValueError) as error:
            if told:
                raise
            with suppress(OSError):
                words.send(str(error))
            sys.exit(CANNOT_START)


def _end_with_the_parent() -> None:
    """A supervisor that is killed leaves no worker behind."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        connection.wait([sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="glasscache-parent", daemon=True).start()
