"""How the processes of ours that run for long are asked to end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import connection
from typing import Any, Self

SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""What asks a process to end."""


class Stop:
    """SIGTERM and SIGINT as something to wait for: inside the ``with`` they are noted and end nothing by themselves.

    It is a pipe and no ``Event``: a handler that runs inside ``Event.wait`` may find its lock taken.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._reader)
        os.close(self._writer)

    def _note(self, *_: object) -> None:
        # the byte is never read: whoever waits later returns at once
        with suppress(BlockingIOError):
            os.write(self._writer, b"x")

    def fileno(self) -> int:
        """Readable from the first signal on."""
        return self._reader

    def wait(self, seconds: float | None = 0.0) -> bool:
        """True once the end was asked for.

        Args:
            seconds: how long to wait for that; 0 only looks, None waits for good.
        """
        return bool(connection.wait([self._reader], seconds))


@contextmanager
def signals_held_back() -> Iterator[None]:
    """Block the signals inside the ``with``.

    A process that is started there inherits that and takes them once it can: Ctrl-C while it imports is no traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
