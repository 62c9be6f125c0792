"""Store URLs: what is taken, what is refused, and that no password is shown."""

from __future__ import annotations

import pytest

from cache.errors import SettingsError
from cache.stores.urls import StoreURL, parse, redact


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://cache", StoreURL("redis", "cache")),
        ("redis://cache:6380/2", StoreURL("redis", "cache", 6380, db=2)),
        ("redis://[::1]:6380?db=3", StoreURL("redis", "::1", 6380, db=3)),
        ("redis://me:p%40ss@cache/", StoreURL("redis", "cache", username="me", password="p@ss")),
        ("redis://:pw@cache", StoreURL("redis", "cache", password="pw")),
        ("rediss://cache?ssl_ca_certs=/ca.pem", StoreURL("rediss", "cache", tls=(("ssl_ca_certs", "/ca.pem"),))),
        ("unix:///run/redis.sock?db=1", StoreURL("unix", path="/run/redis.sock", db=1)),
        ("unix://:pw@/run/a%20b.sock", StoreURL("unix", path="/run/a b.sock", password="pw")),
        ("embedded://", StoreURL("embedded")),
    ],
)
def test_a_url_is_taken_apart(url, expected):
    """Scheme, place, database and credentials."""
    assert parse(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "", "redis", "http://cache", "redis+sentinel://cache", "redis://cache:0x", "redis://cache:70000", "redis://cache/x",
        "redis://cache/-1", "redis://cache/99999999999999999999", "redis://cache/\u0661", "redis://cache?db=a", "unix://",
        "unix:///", "unix://relative/path", "redis://cache\n", "redis://ca che", "redis://cache\x00", "redis://cache#x",
        "rediss://secret@cache?ssl_cert_reqs=none", "rediss://cache?ssl_check_hostname=false", "redis://cache?socket_timeout=9",
        "redis://cache?secret=1", "embedded://?db=1", "redis://:secret#pw@cache", None, 7, b"redis://cache",
    ],
)  # fmt: skip
def test_a_wrong_url_is_a_named_error_that_shows_no_secret(url):
    """One line that names the variable and an example; never the URL itself."""
    with pytest.raises(SettingsError, match="REDIS_URL") as caught:
        parse(url)

    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_password_is_in_no_representation():
    """Neither of the parsed URL nor of the redacted one."""
    assert "secret" not in repr(parse("redis://me:secret@cache"))
    assert redact("redis://me:sec@ret/@cache:1/2?password=secret#secret") == "redis://***@cache:1/2"
    assert redact("unix:///run/redis.sock") == "unix:///run/redis.sock"
