"""rediss: the greeting and every step go through TLS; certificate and name are checked."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from pathlib import Path

import pytest

from telemetry.vocabulary import ErrorType

CERTIFICATE = Path(__file__).with_name("localhost.pem")
"""Of ``localhost``, until 2126, and its key; nobody trusts it but these tests."""


class TLSRelay:
    """Ends TLS before a server on a Unix socket, in threads of its own."""

    def __init__(self, path):
        self._path = path
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(CERTIFICATE)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self.port = self._listener.getsockname()[1]

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(client,)))
            self._threads[-1].start()

    def _serve(self, client):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as server, client:
            server.connect(self._path)
            with self._context.wrap_socket(client, server_side=True) as secured:
                _relay(secured, server)

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)


def _relay(secured, server):
    """Carry both directions until one ends."""
    other = {secured: server, server: secured}
    while True:
        ready = [secured] if secured.pending() else select.select([secured, server], [], [])[0]
        for source in ready:
            data = source.recv(1 << 16)
            if not data:
                return
            other[source].sendall(data)


@pytest.fixture
def relay(server):
    with TLSRelay(server.socket) as relay:
        yield relay


def test_steps_go_through_tls(relay, open_driver):
    """Small ones, a megabyte, a batch and a script, over connections that are used again."""
    driver = open_driver(f"rediss://localhost:{relay.port}/1?ssl_ca_certs={CERTIFICATE}")
    large = b"x" * (1 << 20)

    assert driver.call("SET", "a", "of a", seconds=2) == b"OK"
    assert driver.call("SET", "large", large, seconds=2) == b"OK"
    assert driver.call("GET", "large", seconds=2) == large
    assert driver.batch(("GET", "a"), ("STRLEN", "large"), seconds=2) == [b"of a", len(large)]
    assert driver.script("return redis.call('GET', KEYS[1])", "a", seconds=2) == b"of a"


@pytest.mark.parametrize("given", ["127.0.0.1", "unknown"])
def test_a_certificate_that_does_not_fit_is_refused(relay, open_driver, given):
    """Of another name, or of nobody we trust: not a word is sent."""
    trusted = f"?ssl_ca_certs={CERTIFICATE}" if given == "127.0.0.1" else ""
    host = given if given == "127.0.0.1" else "localhost"
    trouble = open_driver(f"rediss://{host}:{relay.port}/0{trusted}").trouble("PING", seconds=2)

    assert (trouble.kind, trouble.sent_nothing) == (ErrorType.REFUSED, True)
