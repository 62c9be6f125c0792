"""The catalogue as data: each row says what is injected, how it is healed, and what may come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from faults.figures import Figures, Limits
from faults.place import Place

FORMS = ("sync", "asyncio", "web")
PATHS = ("fast", "plain")
VARIANTS = tuple((form, path) for form in FORMS for path in PATHS)
"""Forms of caller and ways to the server."""

Act = Callable[[Place], Iterator[None]]
"""Injects, yields while the fault lasts; healed by closing it, so the healing stands in ``finally``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault under load.

    Args:
        number: of the catalogue.
        name: what is at fault.
        injected: by what.
        act: injects and heals.
        prepares: the act yields once before the callers begin.
        every_s: the act is resumed so often while the fault lasts: it may yield any number of times; 0: once.
        lasts_s: how long it lasts; in CI a third, at most ``short_s``.
        proxy: the callers reach the server through one.
        network: in a network namespace of its own.
        options: of the server.
        settings: of the callers' caches.
        callers: threads or tasks.
        pace_s: each one's pause between two calls.
        expected: computations expected, of the place, the calls made and the changes; the figure is their share.
        tests: of the ordinary suite that hold the row too.
    """

    number: str
    name: str
    injected: str
    act: Act
    prepares: bool = False
    every_s: float = 0.0
    lasts_s: float = 3.0
    short_s: float = 1.0
    proxy: bool = False
    network: bool = False
    options: tuple[str, ...] = ()
    maxmemory: str = "256mb"
    settings: dict[str, Any] = field(default_factory=dict)
    callers: int = 4
    pace_s: float = 0.002
    limits: Limits = field(default_factory=Limits)
    variants: tuple[tuple[str, str], ...] = VARIANTS
    expected: Callable[[Place, int], float] | None = None
    tests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A fault that load alone does not meet: a scene of its own, played by ``play``."""

    number: str
    name: str
    injected: str
    play: Callable[[Place, str, str], Figures]
    limits: Limits = field(default_factory=lambda: Limits(burst_ms=None, lag_ms=None, recovery_s=None))
    variants: tuple[tuple[str, str], ...] = (("sync", "fast"),)
    proxy: bool = False
    network: bool = False
    options: tuple[str, ...] = ()
    maxmemory: str = "256mb"
    patience_s: float = 300.0
    tests: tuple[str, ...] = ()


Row = Fault | Trial


class Catalogue:
    """All rows of a class of faults, in order."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.rows: list[Row] = []

    def fault(self, number: str, name: str, injected: str, **terms: Any) -> Callable[[Act], Act]:
        """Enter a fault under load."""

        def enter(act: Act) -> Act:
            self.rows.append(Fault(number=number, name=name, injected=injected, act=act, **terms))
            return act

        return enter

    def trial(self, number: str, name: str, injected: str, **terms: Any) -> Callable[[Any], Any]:
        """Enter a scene of its own."""

        def enter(play: Any) -> Any:
            self.rows.append(Trial(number=number, name=name, injected=injected, play=play, **terms))
            return play

        return enter
