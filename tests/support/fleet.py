"""Members of a fleet that write when they are told."""

from __future__ import annotations

from collections.abc import Callable

from support.figures import count

from cache.clock import SystemClock
from cache.core.fleet_table import Sum, add_up
from cache.reporting import Reporter
from cache.stores.connect import StoreOptions, open_store
from telemetry.ledger import Ledger

KEY = "fleet"


class Member:
    """One process's ledger and reporter; the thread is not started, ``beat`` is called by hand."""

    def __init__(self, url: str) -> None:
        clock = SystemClock()
        self.ledger = Ledger()
        self.store = open_store(url, StoreOptions(max_connections=4), on_breaker=lambda *_: None, clock=clock)
        self.reporter = Reporter(self.store, KEY, self.ledger, clock)

    @property
    def id(self) -> str:
        return self.reporter._me.id

    def count(self, hits: int) -> Member:
        count(self.ledger, hits)
        return self

    def beat(self, *, last: bool = False) -> Member:
        self.reporter.beat(last=last)
        assert self.reporter._trouble is None, self.reporter._trouble
        return self

    def sum(self) -> Sum:
        return add_up(*self.reporter.look())


Join = Callable[[], Member]
