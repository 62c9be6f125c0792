"""``glasscache serve``: the API in one process or several that share a socket, ended cleanly."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass

from cache.errors import CacheError, ListenError
from cache.settings import Settings
from cache.workers import Worker, run_workers
from telemetry.logs import configure_logging

BACKLOG = 2048
"""Connections that wait to be accepted, those that come while a worker is restarted among them."""

_log = logging.getLogger("glasscache")


@dataclass(frozen=True, slots=True)
class Serving:
    """What each worker is to serve.

    Args:
        listener: the socket that all of them accept from.
        metrics: host and first port of the workers' own expositions; None: none.
        rehearsal: is run before, under the process's telemetry.
    """

    settings: Settings
    listener: socket.socket
    metrics: tuple[str, int] | None = None
    rehearsal: Callable[[], None] | None = None


def serve(
    settings: Settings,
    host: str,
    port: int,
    *,
    workers: int = 1,
    metrics: tuple[str, int] | None = None,
    rehearsal: Callable[[], None] | None = None,
) -> int:
    """Serve the API until SIGTERM or SIGINT; returns the exit code.

    Args:
        workers: processes; a single one is this process.
        metrics: host and first port of the workers' own expositions.
        rehearsal: is run before, with one worker only.

    Raises:
        ListenError: the port, or that of a worker's metrics, is taken.
        CacheError: the extra ``glasscache[api]`` is not installed, or a worker cannot start.
    """
    with listen(host, port) as listener:
        configure_logging(as_json=settings.log_json)
        _log.info("listening on %s:%d, workers: %d", *listener.getsockname()[:2], workers)
        run_workers(_work, Serving(settings, listener, metrics, rehearsal), workers)
    return 0


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens, and whose connections send at once.

    Raises:
        ListenError: the port is taken, or the host is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ListenError(f"cannot listen on {host}:{port}: {error.strerror or error}; --port gives another") from None
    # accepted sockets inherit it, and asyncio sets it on none whose listener was handed in: without it each answer on a
    # kept connection waits 40 ms for an acknowledgement
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _work(worker: Worker, task: Serving) -> None:
    """One worker: telemetry, cache and API, made in its own process."""
    try:
        from cache.api import create_app
        from cache.api.access import Access
        from cache.api.server import run_server
        from cache.async_layer import AsyncCache
        from cache.fleet import report
        from cache.metrics import get_metrics
        from cache.observing import observed
        from telemetry.provider import instrument_fastapi
    except ImportError as error:
        raise CacheError(f"{error.name} is missing: pip install 'glasscache[api]'") from None
    if worker.stop.wait():
        # the imports took a while
        return
    settings = task.settings
    with observed(settings, "glasscache", index=worker.index, metrics=task.metrics) as handle:
        if task.rehearsal is not None:
            task.rehearsal()
        cache = AsyncCache.from_settings(settings)
        app = create_app(
            cache,
            get_metrics(),
            token=settings.api_token.get_secret_value(),
            scrape=handle.scrape,
            fleet=report(settings),
            access=Access.of(settings, task.listener.getsockname()[0]),
        )
        instrument_fastapi(app)
        run_server(app, task.listener, worker)
