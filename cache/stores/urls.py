"""Store URLs: read once, checked against lists of what is allowed, never shown with their password."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from cache.errors import SettingsError
from cache.stores.credentials import PasswordFile

SCHEMES = ("redis", "rediss", "unix", "embedded")
_EXAMPLE = "for example REDIS_URL=redis://redis:6379/0"
_TLS = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
_QUERY = {
    "redis": frozenset({"db"}),
    "rediss": frozenset({"db"}) | _TLS,
    "unix": frozenset({"db"}),
    "embedded": frozenset(),
}
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")


@dataclass(frozen=True, slots=True)
class StoreURL:
    """A URL, taken apart.

    Args:
        scheme: redis, rediss, unix or embedded.
        path: of the socket, for unix.
        tls: file names for rediss: ``ssl_ca_certs``, ``ssl_certfile``, ``ssl_keyfile``.
        password_file: holds the password in place of ``password``; no part of a URL.
    """

    scheme: str
    host: str = "localhost"
    port: int = 6379
    path: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: tuple[tuple[str, str], ...] = ()
    password_file: str = ""

    @property
    def secret(self) -> str | PasswordFile | None:
        """The password, or what reads it for each new connection."""
        return PasswordFile(self.password_file) if self.password_file else self.password

    @property
    def label(self) -> str:
        """The scheme: what telemetry calls the store."""
        return self.scheme


def parse(url: str) -> StoreURL:
    """Read a URL.

    Raises:
        SettingsError: another scheme, an option that is not allowed (TLS checks cannot be switched off), a bad number.

    Example:
        >>> parse("redis://cache:6380/2").port
        6380
    """
    parts, port = _split(url)
    if parts.scheme not in SCHEMES:
        raise SettingsError(f"REDIS_URL: the scheme must be one of {', '.join(SCHEMES)}; {_EXAMPLE}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if options.keys() - _QUERY[parts.scheme] or parts.fragment:
        # neither names nor values of what was refused are shown: they may be a password's tail
        allowed = ", ".join(sorted(_QUERY[parts.scheme])) or "none"
        raise SettingsError(
            f"REDIS_URL: an option that {parts.scheme}:// does not take (allowed: {allowed}); {_EXAMPLE}"
        )
    if parts.scheme == "embedded":
        return StoreURL("embedded")
    is_unix = parts.scheme == "unix"
    if is_unix and (len(parts.path) < 2 or parts.hostname):
        raise SettingsError(
            "REDIS_URL: unix:// needs an absolute path; for example REDIS_URL=unix:///run/redis.sock?db=0"
        )
    return StoreURL(
        scheme=parts.scheme,
        host=parts.hostname or "localhost",
        port=port,
        path=unquote(parts.path) if is_unix else "",
        db=_db(options.get("db", "") if is_unix or "db" in options else parts.path.strip("/")),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=tuple((name, value) for name, value in options.items() if name in _TLS),
    )


def redact(url: str) -> str:
    """The URL without user, password and options.

    Example:
        >>> redact("redis://me:secret@cache:6379/0?db=1")
        'redis://***@cache:6379/0'
    """
    bare = re.split(r"[?#]", re.sub(r"//.*@", "//***@", url, flags=re.DOTALL), maxsplit=1)[0]
    return _UNPRINTABLE.sub("", bare)


def _split(url: str) -> tuple[SplitResult, int]:
    try:
        if _UNPRINTABLE.search(url):
            raise ValueError
        parts = urlsplit(url)
        return parts, parts.port or 6379
    except (ValueError, TypeError, AttributeError):
        raise SettingsError(f"REDIS_URL: not a URL; {_EXAMPLE}") from None


def _db(text: str) -> int:
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 5 or int(text) > 16383:
        raise SettingsError(f"REDIS_URL: the database is a number from 0 to 16383; {_EXAMPLE}")
    return int(text)
