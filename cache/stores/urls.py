"""Store URLs: read once, checked against lists of what is allowed, never shown with their password."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from cache.errors import SettingsError
from cache.stores.credentials import PasswordFile

CLUSTER, SENTINEL = "+cluster", "+sentinel"
"""How the schemes end that name several servers."""

SCHEMES = (
    "redis", "rediss", "unix", "embedded",
    "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel",
)  # fmt: skip
_EXAMPLE = "for example REDIS_URL=redis://redis:6379/0"
_TLS = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
_SENTINELS = frozenset({"sentinel_username", "sentinel_password"})
_QUERY = {
    "redis": frozenset({"db"}),
    "rediss": frozenset({"db"}) | _TLS,
    "unix": frozenset({"db"}),
    "embedded": frozenset(),
    "redis+cluster": frozenset(),
    "rediss+cluster": _TLS,
    "redis+sentinel": _SENTINELS,
    "rediss+sentinel": _SENTINELS | _TLS,
}
_EXAMPLES = {
    CLUSTER: "redis+cluster://a:6379,b:6379,c:6379",
    SENTINEL: "redis+sentinel://a:26379,b:26379/primary/0",
}
_PORTS = {CLUSTER: 6379, SENTINEL: 26379}
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^\[\]:@/]+))(?::(\d{1,5}))?\Z")
_MOST_HOSTS = 64
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")


@dataclass(frozen=True, slots=True)
class StoreURL:
    """A URL, taken apart.

    Args:
        scheme: one of ``SCHEMES``.
        path: of the socket, for unix.
        tls: file names for rediss: ``ssl_ca_certs``, ``ssl_certfile``, ``ssl_keyfile``.
        hosts: those that are asked where the others are, with their ports: some of a cluster, or the sentinels.
        service: the name that sentinels know the primary by.
        primary_only: a replica that is found there is not spoken to.
        password_file: holds the password in place of ``password``; no part of a URL.
        sentinel_username, sentinel_password, sentinel_password_file: the same for the sentinels, who may ask for none.
    """

    scheme: str
    host: str = "localhost"
    port: int = 6379
    path: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: tuple[tuple[str, str], ...] = ()
    hosts: tuple[tuple[str, int], ...] = ()
    service: str = ""
    primary_only: bool = False
    password_file: str = ""
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    sentinel_password_file: str = ""

    def of(self, host: str, port: int) -> StoreURL:
        """The URL of one of several servers, with the same password and TLS."""
        plain = self.scheme.partition("+")[0]
        return StoreURL(
            plain, host, port,
            db=self.db, username=self.username, password=self.password, tls=self.tls,
            primary_only=bool(self.service), password_file=self.password_file,
        )  # fmt: skip

    def of_sentinel(self, host: str, port: int) -> StoreURL:
        """The URL of one of the sentinels, with their own password and the same TLS."""
        return StoreURL(
            self.scheme.partition("+")[0], host, port,
            username=self.sentinel_username, password=self.sentinel_password, tls=self.tls,
            password_file=self.sentinel_password_file,
        )  # fmt: skip

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
    hosts, url = _hosts(url)
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
    service, database = _below(parts) if hosts else ("", parts.path.strip("/"))
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
        db=_db(options.get("db", "") if is_unix or "db" in options else database),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=tuple((name, value) for name, value in options.items() if name in _TLS),
        hosts=hosts,
        service=service,
        sentinel_username=options.get("sentinel_username") or None,
        sentinel_password=options.get("sentinel_password") or None,
    )


def _hosts(url: str) -> tuple[tuple[tuple[str, int], ...], str]:
    """The hosts of a URL that names several, and the URL with the first alone; none for any other URL."""
    found = re.match(rf"([a-z]+(?:{re.escape(CLUSTER)}|{re.escape(SENTINEL)}))://([^/?#]*)(.*)\Z", str(url), re.DOTALL)
    if found is None:
        return (), url
    scheme, place, rest = found.groups()
    user, at, named = place.rpartition("@")
    kind = CLUSTER if scheme.endswith(CLUSTER) else SENTINEL
    matches = [_HOST.match(each) for each in named.split(",")]
    hosts = [(each[1] or each[2], int(each[3] or _PORTS[kind])) for each in matches if each]
    if len(hosts) != len(matches) or len(hosts) > _MOST_HOSTS or not all(0 < port < 1 << 16 for _, port in hosts):
        raise SettingsError(
            f"REDIS_URL: {scheme}:// takes 1 to {_MOST_HOSTS} hosts; for example REDIS_URL={_EXAMPLES[kind]}"
        )
    return tuple(dict.fromkeys(hosts)), f"{scheme}://{user}{at}{named.split(',')[0]}{rest}"


def _below(parts: SplitResult) -> tuple[str, str]:
    """Service and database in the path of a URL that names several hosts."""
    path = [unquote(part) for part in parts.path.split("/") if part]
    if parts.scheme.endswith(CLUSTER):
        if path and path != ["0"]:
            raise SettingsError(
                f"REDIS_URL: a cluster has no database but 0; for example REDIS_URL={_EXAMPLES[CLUSTER]}"
            )
        return "", ""
    if not 1 <= len(path) <= 2:
        raise SettingsError(f"REDIS_URL: the service's name is missing; for example REDIS_URL={_EXAMPLES[SENTINEL]}")
    return path[0], path[1] if len(path) == 2 else ""


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
