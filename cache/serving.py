"""``glasscache serve``: the API in one process or several that share a socket, ended cleanly."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from cache.errors import CacheError, ListenError
from cache.passes import Passes
from cache.settings import Settings
from cache.workers import Worker, run_workers
from telemetry.logs import configure_logging

BACKLOG = 2048
"""Connections that wait to be accepted, those that come while a worker is restarted among them."""

_log = logging.getLogger("glasscache")


@dataclass(frozen=True, slots=True)
class Show:
    """What a demonstration adds.

    Args:
        rehearsal: is held while it serves, under the process's telemetry; with one worker only.
        passes: open the page where it is behind the token.
    """

    rehearsal: Callable[[], AbstractContextManager[None]] = nullcontext
    passes: Passes = field(default_factory=Passes)


@dataclass(frozen=True, slots=True)
class Serving:
    """What each worker is to serve.

    Args:
        listener: the socket that all of them accept from.
        metrics: host and first port of the workers' own expositions; None: none.
        show: what a demonstration adds; by itself only who may see the page.
    """

    settings: Settings
    listener: socket.socket
    metrics: tuple[str, int] | None = None
    show: Show = field(default_factory=Show)


def serve(
    settings: Settings,
    host: str,
    port: int,
    *,
    workers: int = 1,
    metrics: tuple[str, int] | None = None,
    show: Show | None = None,
) -> int:
    """Serve the API until SIGTERM or SIGINT; returns the exit code.

    Args:
        workers: processes; a single one is this process.
        metrics: host and first port of the workers' own expositions.
        show: what a demonstration adds.

    Raises:
        ListenError: the port, or that of a worker's metrics, is taken.
        CacheError: the extra ``glasscache[api]`` is not installed, or a worker cannot start.
    """
    with listen(host, port) as listener:
        configure_logging(as_json=settings.log_json)
        _log.info("listening on %s:%d, workers: %d", *listener.getsockname()[:2], workers)
        _log.info("the page: %s", page_address(*listener.getsockname()[:2]))
        run_workers(_work, Serving(settings, listener, metrics, show or Show()), workers)
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


def page_address(host: str, port: int, code: str = "") -> str:
    """Where a browser of this machine finds the page.

    Args:
        code: opens once.
    """
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - it is asked, not listened on
    place = f"[{name}]" if ":" in name else name
    return f"http://{place}:{port}/" + (f"?code={code}" if code else "")


def _work(worker: Worker, task: Serving) -> None:
    """One worker: telemetry, cache and API, made in its own process."""
    try:
        from cache.api import create_app
        from cache.api.access import Access
        from cache.api.live import Live
        from cache.api.page import Page
        from cache.api.server import run_server
        from cache.async_layer import AsyncCache
        from cache.doctor import examine
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
    with (
        observed(settings, "glasscache", index=worker.index, metrics=task.metrics) as handle,
        task.show.rehearsal(),
    ):
        cache = AsyncCache.from_settings(settings)
        metrics, fleet = get_metrics(), report(settings)
        live = Live(
            fleet.look,
            metrics.recorder.ledger.categories,
            examine=lambda: [finding.as_dict() for finding in examine(settings=settings)],
            links={"Grafana": settings.grafana_url, "Jaeger": settings.jaeger_url},
        )
        app = create_app(
            cache,
            metrics,
            token=settings.api_token.get_secret_value(),
            scrape=handle.scrape,
            fleet=fleet,
            access=Access.of(settings, task.listener.getsockname()[0]),
            page=Page(live, task.show.passes),
        )
        instrument_fastapi(app)
        run_server(app, task.listener, worker, live.end)
