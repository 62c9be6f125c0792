"""Over TLS: the same answers, the same deadlines, over both paths."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import suppress

import pytest

from cache.errors import StoreError
from telemetry.vocabulary import ErrorType

CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBmjCCAUGgAwIBAgIUQhUi2yAUE3eit6+LuUs4lAu8Y3AwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyODEzMjcxOFoYDzIxMjYxMTA0
MTMyNzE4WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARiS/vzG9uQb3IAigBIjqAxkUF4R2qksBf+K3NoAIvt6raDZaDmDKVj
isRNpK+abrQ1JNDEwtFY/U1bkAw1WVPbo28wbTAdBgNVHQ4EFgQUXx2IgvRP9xVM
9CRb9Pl0dekASa4wHwYDVR0jBBgwFoAUXx2IgvRP9xVM9CRb9Pl0dekASa4wDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDRwAwRAIgOtAHfaRl9orQc3CAlXT5P38eZQpKOsafAX+7SE79lFQCIBUK
/nzIXrz54OB2NAi5sEjJGYF8EBKWL3mmBqH5FhZm
-----END CERTIFICATE-----
"""
"""Of ``localhost``, by itself, for these tests alone."""

KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgQT/gdbX3vOW2uP4m
9QFn4QzjEKRRoQLwH+ZzrY+aXbuhRANCAARiS/vzG9uQb3IAigBIjqAxkUF4R2qk
sBf+K3NoAIvt6raDZaDmDKVjisRNpK+abrQ1JNDEwtFY/U1bkAw1WVPb
-----END PRIVATE KEY-----
"""


class _Terminator:
    """Takes TLS on a loopback port and hands what it carries to a server's Unix socket."""

    def __init__(self, socket_path, certificate):
        self._path = socket_path
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._links, self._threads = [], []
        self.deaf = False
        self._start(self._accept)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self.end_connections()
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def end_connections(self):
        """End every connection, as a server does with idle ones."""
        for near, far in self._links:
            for end in (near, far):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _start(self, work, *args):
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        with suppress(OSError):
            while True:
                raw = self._listener.accept()[0]
                self._start(self._link, raw)

    def _link(self, raw):
        try:
            near = self._context.wrap_socket(raw, server_side=True)
        except OSError:
            raw.close()
            return
        far = socket.socket(socket.AF_UNIX)
        far.connect(self._path)
        self._links.append((near, far))
        back = threading.Thread(target=self._copy, args=(far, near), daemon=True)
        back.start()
        self._copy(near, far)
        back.join(10)
        near.close()
        far.close()

    def _copy(self, source, sink):
        with suppress(OSError):
            while data := source.recv(65_536):
                if not self.deaf:
                    sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def tls(server, tmp_path):
    certificate = tmp_path / "certificate.pem"
    certificate.write_text(CERTIFICATE + KEY)
    with _Terminator(server.socket, certificate) as terminator:
        yield terminator, f"rediss://localhost:{terminator.port}/0?ssl_ca_certs={certificate}"


def _answered(driver, *args):
    """Call until it answers; a new connection reads the system's certificates, which takes a busy machine long."""
    give_up = time.monotonic() + 10
    while True:
        try:
            return driver.call(*args, seconds=2)
        except StoreError:
            assert time.monotonic() < give_up


def test_values_of_any_size_come_back_over_tls(open_driver, tls):
    """Also those of many records, that the socket takes and gives in parts."""
    driver = open_driver(tls[1])

    for size in (0, 10, 16_384, 16_385, 100_000, 3_000_000):
        value = b"0123456789" * (size // 10)
        assert driver.call("SET", "a", value, seconds=2) == b"OK"
        assert driver.call("MGET", "a", "absent", "a", seconds=2) == [value, None, value]
    one, two, three = driver.batch(("GET", "a"), ("LPUSH", "a", "x"), ("STRLEN", "a"), seconds=2)
    assert (one, two.kind, three) == (value, ErrorType.OTHER, len(value))


def test_a_silent_partner_ends_at_the_deadline(open_driver, tls):
    """Nothing comes: the call ends in time; the next one is answered on a fresh connection."""
    terminator, url = tls
    driver = open_driver(url)
    driver.call("SET", "a", 1)
    terminator.deaf = True
    began = time.perf_counter()
    trouble = driver.trouble("GET", "a", seconds=0.1)
    took = time.perf_counter() - began
    terminator.deaf = False

    assert (trouble.kind, trouble.silent) == (ErrorType.TIMEOUT, True)
    assert 0.09 < took < 0.4
    assert _answered(driver, "GET", "a") == b"1"


def test_a_connection_that_ended_meanwhile_is_noticed(open_driver, tls):
    """A step that may be repeated is answered though its idle connection is gone."""
    terminator, url = tls
    driver = open_driver(url, max_connections=1)
    driver.call("SET", "a", 1)
    terminator.end_connections()

    assert _answered(driver, "GET", "a") == b"1"
    assert driver.call("INCR", "a", seconds=2, idempotent=False) == 2


def test_a_certificate_that_nobody_vouches_for_is_refused(open_driver, tls):
    """Without its own certificate as authority the server is not spoken to."""
    trouble = open_driver(tls[1].partition("?")[0]).trouble("GET", "a", seconds=2)

    assert (trouble.kind, trouble.sent_nothing) == (ErrorType.REFUSED, True)
