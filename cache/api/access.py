"""Who may come in before anything is looked at: hosts, origins, bodies; and what is shown beyond this machine."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from cache.api.problems import ProblemError
from cache.clock import Clock, SystemClock
from cache.settings import Settings

MOST_HEAD = 16 << 10
"""Bytes of a request's head."""

MOST_BODY = 8 << 10
"""Bytes of a request's body; no route reads one."""

_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._\-]{1,253})(?::[0-9]{1,5})?\Z")
_NAME = re.compile(r"[a-z0-9_\-]{1,63}\Z")


_PAGE: Mapping[str, Literal["open", "token", "closed"]] = {"true": "open", "token": "token", "false": "closed"}


@dataclass(frozen=True, slots=True)
class Access:
    """What the API shows, and to whom.

    Args:
        hosts: names beside addresses, ``localhost`` and names without a dot; ``.example.org`` takes every name that
            ends so, ``*`` every name.
        docs: whether ``/docs`` and ``/openapi.json`` are served.
        metrics: whether ``/metrics`` is.
        page: who sees the page at ``/``: ``open`` to all, those with the ``token``, or nobody (``closed``).
        per_minute: invalidations and explanations of this process within a minute, >= 1.
        clock: that minute's.
    """

    hosts: tuple[str, ...] = ()
    docs: bool = True
    metrics: bool = True
    page: Literal["open", "token", "closed"] = "open"
    per_minute: int = 600
    clock: Clock = field(default_factory=SystemClock)

    @classmethod
    def of(cls, settings: Settings, host: str) -> Self:
        """As the settings say; ``auto`` shows what it is about on a loopback address only.

        Args:
            host: the address that is listened on.
        """
        private = is_loopback(host)
        return cls(
            hosts=settings.api_host_names,
            docs=private if settings.api_docs == "auto" else settings.api_docs == "true",
            metrics=private if settings.api_metrics == "auto" else settings.api_metrics == "true",
            page=_PAGE.get(settings.api_page, "open" if private else "token"),
            per_minute=settings.api_rate,
        )

    def check(self, headers: Iterable[tuple[bytes, bytes]], target: int = 0) -> None:
        """Let a request's head pass.

        Args:
            target: bytes of the path and the query.

        Raises:
            ProblemError: 431 for a head that came whole but is too large, 421 for a foreign host (a page whose name was
                rebound to this address sends its own name),
                403 for a page of another origin, 411 and 413 for a body.
        """
        found: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            found.setdefault(name, []).append(value)
            target += len(name) + len(value)
        if target > MOST_HEAD:
            raise ProblemError(431, "head_too_large", f"the request's head is larger than {MOST_HEAD} bytes")
        hosts = [value.decode("latin-1").lower() for value in found.get(b"host", [])]
        if len(hosts) > 1 or (hosts and not self._takes(hosts[0])):
            raise ProblemError(421, "host_not_allowed", "name this host in CACHE_API_HOSTS, or use its address")
        for origin in found.get(b"origin", []):
            if not hosts or not _same(origin.decode("latin-1").lower(), hosts[0]):
                raise ProblemError(403, "origin_not_allowed", "pages of other origins are not answered")
        if b"transfer-encoding" in found:
            raise ProblemError(411, "length_required", "no route takes a body; send none, or its Content-Length")
        # the server has read the number already: it is one
        if any(int(value) > MOST_BODY for value in found.get(b"content-length", [])):
            raise ProblemError(413, "body_too_large", f"no route takes a body; one of {MOST_BODY} bytes is not read")

    def _takes(self, host: str) -> bool:
        matched = _HOST.match(host)
        if matched is None:
            return False
        name = matched[1].rstrip(".")
        if _is_address(name.strip("[]")) or _NAME.match(name) or name.endswith(".localhost"):
            # none of these can be a public name that somebody points to this machine
            return True
        return any(listed in ("*", name) or (listed.startswith(".") and name.endswith(listed)) for listed in self.hosts)


def is_loopback(host: str) -> bool:
    """True for an address, or a name, that only this machine reaches."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _same(origin: str, host: str) -> bool:
    """Whether a page of ``origin`` came from ``host``; behind a proxy its scheme may be another."""
    try:
        parts: Any = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc == host
