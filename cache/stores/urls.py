"""Store URLs: read once, checked against lists of what is allowed, never shown with their password."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from cache.errors import SettingsError

SCHEMES = ("redis", "rediss", "unix", "embedded")
_EXAMPLE = "for example REDIS_URL=redis://redis:6379/0"
_QUERY = {"redis": {"db"}, "rediss": {"db", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}, "unix": {"db"}}


@dataclass(frozen=True, slots=True)
class StoreURL:
    """A URL, taken apart.

    Args:
        scheme: redis, rediss, unix or embedded.
        path: of the socket, for unix.
        tls: file names for rediss: ``ssl_ca_certs``, ``ssl_certfile``, ``ssl_keyfile``.
    """

    scheme: str
    host: str = "localhost"
    port: int = 6379
    path: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: tuple[tuple[str, str], ...] = ()

    @property
    def label(self) -> str:
        """The scheme: what telemetry calls the store."""
        return self.scheme


def parse(url: str) -> StoreURL:
    """Read a URL.

    Raises:
        SettingsError: another scheme, an option that is not allowed (TLS checks cannot be switched off), a bad number.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 6379
    except (ValueError, TypeError, AttributeError):
        raise SettingsError(f"REDIS_URL: not a URL; {_EXAMPLE}") from None
    if parts.scheme not in SCHEMES:
        raise SettingsError(f"REDIS_URL: the scheme must be one of {', '.join(SCHEMES)}; {_EXAMPLE}")
    if parts.scheme == "embedded":
        return StoreURL("embedded")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    refused = options.keys() - _QUERY[parts.scheme]
    if refused or parts.fragment:
        raise SettingsError(f"REDIS_URL: the option {sorted(refused) or '#'} is not allowed; {_EXAMPLE}")
    is_unix = parts.scheme == "unix"
    if is_unix and not parts.path:
        raise SettingsError("REDIS_URL: unix:// needs a path; for example REDIS_URL=unix:///run/redis.sock?db=0")
    return StoreURL(
        scheme=parts.scheme,
        host=parts.hostname or "localhost",
        port=port,
        path=unquote(parts.path) if is_unix else "",
        db=_db(options.get("db", "") if is_unix or "db" in options else parts.path.strip("/")),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=tuple((name, value) for name, value in options.items() if name != "db"),
    )


def _db(text: str) -> int:
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or int(text) > 16383:
        raise SettingsError(f"REDIS_URL: the database is a number from 0 to 16383; {_EXAMPLE}")
    return int(text)
