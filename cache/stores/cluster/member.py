"""One server among several: what both twins know of it."""

from __future__ import annotations

from cache.core.breaker import Breaker
from cache.stores.cluster.requests import Known
from cache.stores.greeting import Greeting
from cache.stores.guard import Guard
from cache.stores.options import StoreOptions
from cache.stores.urls import StoreURL
from telemetry.commands import CommandSpans
from telemetry.vocabulary import BreakerState


class Member:
    """One server: what both twins know of it.

    Args:
        url: of it alone.
        breaker: its own.
        spans: of the commands that it is sent.
    """

    def __init__(self, url: StoreURL, options: StoreOptions, breaker: Breaker, spans: CommandSpans) -> None:
        self.url, self.spans, self.breaker = url, spans, breaker
        self.known = Known()
        self.greeting = Greeting(0, url.username, url.secret, options.client_name, self.known.identity)
        self.guard = Guard(self.breaker, options.ceiling_s)

    @property
    def id(self) -> bytes | None:
        """Eight bytes that name the running server, empty when it may not be asked, None when it was never met."""
        identity = self.known.identity
        return identity.value if identity.met else None

    @property
    def may_be_asked(self) -> bool:
        """It is well, or it is time to try whether it is again."""
        return self.breaker.is_due

    @property
    def is_well(self) -> bool:
        """Nothing speaks against asking it."""
        return self.breaker.state is BreakerState.CLOSED
