"""The application behind uvicorn, in one worker, on a socket that was opened for it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from cache.api.access import MOST_HEAD
from cache.api.protocol import ProblemProtocol
from cache.workers import Worker

GRACE_S = 2
"""How long requests under way may take when the process is asked to end."""


class WorkerServer(uvicorn.Server):
    """A server that says when it is ready, and minds a signal that came before it could take one."""

    def __init__(self, app: FastAPI, worker: Worker, ending: Callable[[], None]) -> None:
        # no access log: a query may hold a key, and every request is a span without one
        config = uvicorn.Config(
            app,
            http=ProblemProtocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            # what a header says of the other end is not believed: it goes into the audit's lines
            proxy_headers=False,
            h11_max_incomplete_event_size=MOST_HEAD,
            timeout_graceful_shutdown=GRACE_S,
        )
        super().__init__(config)
        self._worker, self._ending = worker, ending

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note a signal; Ctrl-C a second time cuts nothing off: the end is near anyway, and is told to the fleet."""
        super().handle_exit(sig, frame)
        self.force_exit = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        await super().startup(sockets)
        self._worker.ready()
        self.should_exit = self.should_exit or self._worker.stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what has no end of its own, then wait for the rest."""
        self._ending()
        await super().shutdown(sockets)


def run_server(
    app: FastAPI, listener: socket.socket, worker: Worker, ending: Callable[[], None] = lambda: None
) -> None:
    """Serve until the worker is asked to end.

    Args:
        ending: is called in the loop when it is.
    """
    WorkerServer(app, worker, ending).run(sockets=[listener])
