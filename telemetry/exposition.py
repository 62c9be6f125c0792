"""The Prometheus exposition of one process on a port of its own, for programs that serve no HTTP or run as workers.

It answers ``GET /metrics`` and nothing else, from a thread. Where it listens is for the program to say.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

Scrape = Callable[[], tuple[bytes, str]]

SLOWEST_CLIENT_S = 5.0
"""How long a client may take in all, from its connection to the end of the answer."""

MOST_CLIENTS = 16
"""Connections at a time; one more is closed at once."""

_PROBE_S = 0.05

_log = logging.getLogger("glasscache")


class ExpositionError(OSError):
    """The exposition cannot listen where it should; the text says where, why and what to change."""


@contextmanager
def exposed(scrape: Scrape, host: str, port: int) -> Iterator[None]:
    """Serve ``GET /metrics`` inside the ``with``.

    Args:
        scrape: gives the exposition and its content type, as ``Telemetry.scrape`` does.
        host: a name or an address.
        port: 1 to 65535.

    Raises:
        ExpositionError: the port is taken, or the host is none of this machine's.
    """
    try:
        server = _Server(host, port, scrape)
    except OSError as error:
        raise ExpositionError(
            f"the metrics port {host}:{port} cannot be had: {error.strerror or error}; give another by --metrics-port "
            "or OTEL_EXPORTER_PROMETHEUS_PORT"
        ) from None
    thread = threading.Thread(target=server.serve_forever, args=(_PROBE_S,), name="glasscache-metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(1)


class _Handler(WSGIRequestHandler):
    timeout = SLOWEST_CLIENT_S

    def log_message(self, *_: Any) -> None:
        """A scrape each few seconds is no news."""


class _Server(ThreadingMixIn, WSGIServer):
    """One listener, a thread for each request, and an end to those that take too long."""

    daemon_threads = True
    block_on_close = False
    # the library's 5 let a sixth of a burst wait for seconds until its connection is made
    request_queue_size = 128
    # Python 3.13 and later would let two processes share a port, and a scrape see one or the other
    allow_reuse_port = False

    def __init__(self, host: str, port: int, scrape: Scrape) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._clients: dict[Any, float] = {}
        super().__init__((host, port), _Handler)
        self.set_app(lambda environ, start: _answer(scrape, environ, start))

    def server_bind(self) -> None:
        # not HTTPServer's own: it asks the DNS for the host's full name, which may take many seconds
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if len(self._clients) >= MOST_CLIENTS:
            self.shutdown_request(request)
            return
        self._clients[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._clients.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Cut off who is too slow: the handler's timeout begins anew with each byte."""
        latest = time.monotonic() - SLOWEST_CLIENT_S
        for request, began in list(self._clients.items()):
            if began < latest:
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *_: Any) -> None:
        """A client that left or was too slow harms nobody."""


def _answer(scrape: Scrape, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    body, content_type, status = b"only GET /metrics is answered\n", "text/plain; charset=utf-8", "404 Not Found"
    if (environ["REQUEST_METHOD"], environ["PATH_INFO"]) == ("GET", "/metrics"):
        try:
            (body, content_type), status = scrape(), "200 OK"
        except Exception as error:
            # a scrape that fails is seen by Prometheus, an empty page would look like a process without metrics
            _log.warning("the exposition could not be made: %s", type(error).__name__)
            body, status = b"the exposition could not be made\n", "500 Internal Server Error"
    # the library's own Server header tells Python's version
    headers = [("Content-Type", content_type), ("Content-Length", str(len(body))), ("Server", "glasscache")]
    start(status, headers)
    return [body]
