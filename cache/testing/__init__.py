"""For applications' tests: a real server, a store that fails on command, a clock that ticks, a bad network."""

from cache.stores.embedded import EmbeddedServer
from cache.testing.clock import ManualClock
from cache.testing.proxy import RoundTripProxy
from cache.testing.stores import AsyncFailingStore, FailingStore

__all__ = ["AsyncFailingStore", "EmbeddedServer", "FailingStore", "ManualClock", "RoundTripProxy"]
