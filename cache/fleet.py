"""The figures of all processes that share a store: ``GET /cache/metrics?scope=fleet``.

Each process that calls ``report`` puts its totals into one hash of the store once a second, and at
its end; whoever asks adds them up. A ``Cache`` by itself reports nothing.
"""

from __future__ import annotations

import atexit
import logging
import os
from types import TracebackType
from typing import Any, Self

from cache.clock import SystemClock
from cache.core.fleet_table import Sum, add_up
from cache.core.keys import fleet_name
from cache.errors import StoreError
from cache.metrics import get_metrics, summarise
from cache.reporting import Reporter
from cache.settings import Settings
from cache.stores.connect import StoreOptions, open_store
from telemetry.figures import Figures
from telemetry.ledger import Ledger

_log = logging.getLogger("glasscache")


class Fleet:
    """The figures of all, or of this process alone where the others' cannot be had; a context manager.

    Args:
        ledger: of this process.
        reporter: puts them beside the others'; None when this process does not report.
        alone: why not, in words.
        whole: True when there can be no other process.
    """

    def __init__(
        self, ledger: Ledger, reporter: Reporter | None = None, *, alone: str = "", whole: bool = False
    ) -> None:
        self._ledger, self._reporter, self._alone, self._whole = ledger, reporter, alone, whole
        if reporter is not None:
            reporter.start()
            atexit.register(self.close)

    def summary(self) -> dict[str, Any]:
        """The JSON of ``GET /cache/metrics?scope=fleet``; never raises, and blocks for 0.4 s at most."""
        figures, about = self.look()
        summed = summarise(figures, self._ledger.categories())
        return {**summed, **about}

    def look(self) -> tuple[Figures, dict[str, Any]]:
        """The figures themselves, and what the JSON says about them; as ``summary``."""
        if self._reporter is None:
            return self._own(self._alone)
        try:
            found = add_up(*self._reporter.look())
        except StoreError as trouble:
            return self._own(f"the store does not answer: {trouble.kind.value}")
        except Exception as fault:
            _log.warning("the fleet's figures cannot be read: %s", type(fault).__name__)
            return self._own("what the store holds cannot be read")
        return found.figures, {
            "scope": "fleet",
            "process": os.getpid(),
            "workers": found.workers,
            "processes": found.processes,
            "silent": found.silent,
            "oldest_s": found.oldest_s,
            "complete": found.complete,
            "since": found.figures.since if found.lost_since is None else found.lost_since,
            "note": _note(found),
        }

    def _own(self, why: str) -> tuple[Figures, dict[str, Any]]:
        figures = self._ledger.figures()
        return figures, {
            "scope": "process",
            "process": os.getpid(),
            "workers": 1,
            "processes": 1,
            "silent": 0,
            "oldest_s": 0.0,
            "complete": self._whole,
            "since": figures.since,
            "note": f"of this process alone: {why}",
        }

    def close(self, seconds: float = 1.0) -> None:
        """Put the last figures there, within ``seconds``; call it when nothing is counted any more."""
        if self._reporter is not None:
            atexit.unregister(self.close)
            self._reporter.close(seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()


def _note(found: Sum) -> str | None:
    """What is to be known about the sum, in words."""
    said = []
    if found.lost_since is not None:
        said.append("figures of processes from before `since` were lost with the store's data")
    if found.foreign:
        said.append(f"{found.foreign} records of another version are left out")
    if found.silent:
        said.append(f"{found.silent} processes stopped without a last word: their last second may be missing")
    return "; ".join(said) or None


def report(settings: Settings, ledger: Ledger | None = None) -> Fleet:
    """Report this process's figures to the fleet until ``close``, and read those of all.

    Nothing is connected before the thread's first write, and nothing is started where ``CACHE_FLEET`` or
    ``CACHE_ENABLED`` is false, or the store is embedded and so of this process alone.

    Args:
        settings: which store, and under which namespace.
        ledger: what is reported; None takes that of ``get_metrics()``.

    Raises:
        SettingsError: the URL cannot be used.
    """
    ledger = ledger if ledger is not None else get_metrics().recorder.ledger
    url = settings.redis_url.get_secret_value()
    if not settings.enabled:
        return Fleet(ledger, alone="CACHE_ENABLED is false")
    if not settings.fleet:
        return Fleet(ledger, alone="CACHE_FLEET is false")
    if url.startswith("embedded:"):
        return Fleet(ledger, alone="the store is embedded, nobody else shares it", whole=True)
    clock = SystemClock()
    options = StoreOptions(
        max_connections=4,
        client_name="glasscache-fleet",
        fast_path=settings.fast_path,
        password_file=settings.password_file,
        sentinel_password_file=settings.sentinel_password_file,
    )
    store = open_store(url, options, on_breaker=lambda *_: None, clock=clock)
    return Fleet(ledger, Reporter(store, fleet_name(settings.namespace), ledger, clock))
