"""Over TLS: the same answers, the same deadlines, over both paths; whom nobody vouches for is not spoken to."""

from __future__ import annotations

import socket
import ssl
import threading
import time
import warnings

import pytest
from support import certificates
from support.tls import Terminator, context

from cache.errors import SettingsError, StoreError
from cache.stores.urls import parse
from telemetry.vocabulary import ErrorType


@pytest.fixture
def tls(server, tmp_path):
    authority = tmp_path / "authority.pem"
    authority.write_text(certificates.AUTHORITY)
    with Terminator(server.socket, context(tmp_path)) as terminator:
        yield terminator, f"rediss://localhost:{terminator.port}/0?ssl_ca_certs={authority}"


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
    """Without its own authority the server is not spoken to."""
    trouble = open_driver(tls[1].partition("?")[0]).trouble("GET", "a", seconds=2)

    assert (trouble.kind, trouble.sent_nothing) == (ErrorType.REFUSED, True)


@pytest.mark.parametrize("certificate", ["WRONG_HOST", "EXPIRED", "SELF_SIGNED"])
def test_a_wrong_certificate_is_refused(certificate, open_driver, server, tmp_path):
    """Another host's, an expired one, one that vouches for itself: no byte of a command, no password goes out."""
    authority = tmp_path / "authority.pem"
    authority.write_text(certificates.AUTHORITY)
    with Terminator(server.socket, context(tmp_path, getattr(certificates, certificate))) as terminator:
        url = f"rediss://:password@localhost:{terminator.port}/0?ssl_ca_certs={authority}"
        trouble = open_driver(url).trouble("GET", "a", seconds=2)

        assert (trouble.kind, trouble.sent_nothing) == (ErrorType.REFUSED, True)
        assert terminator.carried == 0


def test_an_old_protocol_is_refused(open_driver, server, tmp_path):
    """A partner that speaks TLS 1.1 at most is not spoken to."""
    authority = tmp_path / "authority.pem"
    authority.write_text(certificates.AUTHORITY)
    old = context(tmp_path)
    old.set_ciphers("ALL:@SECLEVEL=0")
    # Python warns that nobody should: that is why
    with warnings.catch_warnings(action="ignore"):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with Terminator(server.socket, old) as terminator:
        url = f"rediss://localhost:{terminator.port}/0?ssl_ca_certs={authority}"
        trouble = open_driver(url).trouble("GET", "a", seconds=2)

        assert (trouble.kind, trouble.sent_nothing) == (ErrorType.REFUSED, True)
        assert terminator.carried == 0


def test_nobody_is_talked_down_to_plain_text(open_driver, tmp_path):
    """A partner that answers without TLS gets no command; it sees the beginning of a handshake alone."""
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            while True:
                try:
                    raw = listener.accept()[0]
                except OSError:
                    return
                with raw:
                    raw.settimeout(2)
                    heard.append(raw.recv(4096))
                    raw.sendall(b"+OK\r\n-ERR speak plainly\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        trouble = open_driver(f"rediss://:password@localhost:{listener.getsockname()[1]}/0").trouble(
            "GET", "a", seconds=2
        )
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)

    assert (trouble.kind, trouble.sent_nothing) == (ErrorType.REFUSED, True)
    assert [data[:1] for data in heard] == [b"\x16"] * len(heard)
    assert b"password" not in b"".join(heard)


def test_a_client_shows_its_own_certificate(open_driver, server, tmp_path):
    """A server that asks for one is answered with it; without one it refuses."""
    authority, own = tmp_path / "authority.pem", tmp_path / "client.pem"
    authority.write_text(certificates.AUTHORITY)
    own.write_text(certificates.CLIENT + certificates.KEY)
    asking = context(tmp_path)
    asking.load_verify_locations(authority)
    asking.verify_mode = ssl.CERT_REQUIRED
    with Terminator(server.socket, asking) as terminator:
        bare = f"rediss://localhost:{terminator.port}/0?ssl_ca_certs={authority}"
        assert open_driver(bare).trouble("PING", seconds=2).kind is ErrorType.REFUSED
        driver = open_driver(f"{bare}&ssl_certfile={own}&ssl_keyfile={own}")
        assert _answered(driver, "PING") == b"PONG"


def test_no_option_weakens_a_connection():
    """Neither an option of the URL nor its scheme switches a check off."""
    for option in (
        "ssl_cert_reqs=none",
        "ssl_check_hostname=false",
        "ssl_min_version=1",
        "ssl_ciphers=NULL",
        "ssl=false",
    ):
        with pytest.raises(SettingsError, match="REDIS_URL"):
            parse(f"rediss://cache?{option}")
