"""A password that changes while the program runs: taken up by itself, and never asked about in a storm."""

from __future__ import annotations

import time

import pytest

from cache.errors import StoreError
from cache.stores.credentials import PasswordFile
from cache.stores.greeting import Greeting, Identity
from telemetry.vocabulary import ErrorType


def refused_logins(admin):
    """How many the server has refused so far."""
    return int(admin.info("stats")["acl_access_denied_auth"])


def rotate(admin, password):
    """Another password, and nobody is left connected but the administrator."""
    admin.config_set("requirepass", password)
    admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


@pytest.fixture
def password(tmp_path):
    file = tmp_path / "password"
    file.write_text("first\n")
    return file


def test_a_new_password_is_taken_up(open_driver, own_server, admin, password):
    """Until the file has it, logins are as rare as the breaker's probes; then the store answers within 2 s."""
    rotate(admin, "first")
    driver = open_driver(own_server.url, password_file=str(password))
    assert driver.call("SET", "a", "1") == b"OK"

    rotate(admin, "second")
    before, kinds, calls = refused_logins(admin), set(), 0
    ends = time.monotonic() + 1.5
    while time.monotonic() < ends:
        kinds.add(driver.trouble("GET", "a", seconds=2).kind)
        calls += 1
    attempts = refused_logins(admin) - before

    assert kinds <= {ErrorType.AUTH, ErrorType.BREAKER_OPEN, ErrorType.REFUSED}
    assert ErrorType.AUTH in kinds
    # three until the breaker opens, then one for each of its pauses: 0.1, 0.2, 0.4, 0.8 s, less a fifth
    assert attempts <= 9 < calls
    password.write_text("second")
    assert driver.until_answered("GET", "a", within_s=2.0) == b"1"


def test_a_file_that_is_none_is_trouble_with_the_password(open_driver, own_server, admin, tmp_path):
    """Gone, a folder, two lines, too long, no text: ``auth``, without path or content; put right, it works."""
    rotate(admin, "first")
    file = tmp_path / "secret-name"
    for content in (None, b"canary\nfirst", b"canary" * 1000, b"\xff\xfe", b"first\x00canary"):
        if content is not None:
            file.write_bytes(content)
        trouble = open_driver(own_server.url, password_file=str(file)).trouble("PING", seconds=1)
        assert trouble.kind is ErrorType.AUTH
        assert [word for word in ("secret-name", "canary", "first") if word in str(trouble)] == []
    assert open_driver(own_server.url, password_file=str(tmp_path)).trouble("PING", seconds=1).kind is ErrorType.AUTH
    file.write_bytes(b"first\r\n")
    assert open_driver(own_server.url, password_file=str(file)).call("PING") == b"PONG"


def test_an_empty_file_is_no_password(open_driver, own_server, tmp_path):
    """As an empty place in the URL is."""
    (tmp_path / "empty").write_text("")

    assert open_driver(own_server.url, password_file=str(tmp_path / "empty")).call("PING") == b"PONG"


def test_the_file_wins_and_is_in_no_representation(open_driver, own_server, admin, password):
    """A password in the URL beside it is not sent."""
    rotate(admin, "first")
    url = own_server.url.replace("unix://", "unix://:wrong@")

    assert open_driver(url, password_file=str(password)).call("PING") == b"PONG"
    with pytest.raises(StoreError):
        open_driver(url).call("PING")
    assert "wrong" not in repr(Greeting(0, None, "wrong", "name", Identity()))
    assert "first" not in repr(PasswordFile(str(password)))
