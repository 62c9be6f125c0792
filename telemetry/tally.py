"""What the cache did during a workflow run: sums that every operation inside it adds to, in threads and tasks too.

Beside the sums a run that somebody keeps (``run_ring``) has its steps, so many and no more. Outside of a run there is
nothing to add to.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Any

from telemetry.events import OperationEvent
from telemetry.steps import Part, Step
from telemetry.vocabulary import MissReason, Operation, Outcome, Tier

MOST_HITS, MOST_STEPS, MOST_NODES = 256, 448, 64
"""Steps of a run that are kept: hits of single keys, operations and what lies in them, nodes; the others are summed."""

Served = tuple[str, Operation, Tier]
"""Of a hit: its category, as it is counted, what was asked for, and who answered."""


@dataclass(slots=True)
class Tally:
    """The sums of one run; safe for threads.

    Args:
        now: the run's clock, seconds.
    """

    hits: int = 0
    misses: int = 0
    errors: int = 0
    time_saved_s: float = 0.0
    """Seconds that the hits would have cost."""
    waits: int = 0
    cache_s: float = 0.0
    """Seconds that the cache itself took: what ``cache.overhead`` counts."""
    compute_s: float = 0.0
    """Seconds of all computations; one that lies in another counts in both, as ``cache.compute.duration`` counts it."""
    wait_s: float = 0.0
    """Seconds that were spent waiting for other callers' computations."""
    reasons: dict[MissReason, int] = field(default_factory=dict)
    left_out: int = 0
    """Steps that were summed and not kept."""
    keepers: list[Any] = field(default_factory=list, repr=False, compare=False)
    """Who keeps the steps: of each recorder that something in the run was recorded by."""
    now: Callable[[], float] = field(default=time.perf_counter, repr=False, compare=False)
    _began: float = field(init=False, repr=False, compare=False)
    _served: list[tuple[int, float, float, Served, bytes]] = field(default_factory=list, repr=False, compare=False)
    _steps: list[Step] = field(default_factory=list, repr=False, compare=False)
    _nodes: list[Step] = field(default_factory=list, repr=False, compare=False)
    # reentrant: the collector may close an abandoned operation while this thread holds the lock
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._began = self.now()

    def add(self, event: OperationEvent, duration_s: float = 0.0, category: str = "", keeper: Any = None) -> None:
        """Add one operation.

        Args:
            duration_s: how long all of it took, seconds.
            category: as it is counted.
            keeper: keeps the steps; None: nobody does.
        """
        ended_s = self.now() - self._began
        with self._lock:
            self.hits += event.count(Outcome.HIT)
            self.misses += event.count(Outcome.MISS)
            self.errors += event.error is not None
            self.time_saved_s += event.avoided_s
            # as the ledger counts it
            self.cache_s += max(0.0, max(0.0, duration_s) - event.compute_s - event.wait_s)
            self.waits += len(event.waits)
            self.wait_s += event.wait_s
            self.compute_s += event.compute_s
            for (_, _, reason), n in event.lookups.items():
                if reason is not None:
                    self.reasons[reason] = self.reasons.get(reason, 0) + n
            if keeper is not None:
                self._keep(keeper, self._steps, MOST_STEPS, _step(event, category, ended_s, duration_s))

    def hit(self, what: Served, digest: bytes, saved_s: float, duration_s: float, keeper: Any) -> None:
        """Add one hit that has no event, as ``add``; ``digest`` is the key's whole SHA-256."""
        with self._lock:
            self.hits += 1
            self.time_saved_s += saved_s
            self.cache_s += duration_s
            if keeper is None:
                return
            if keeper not in self.keepers:
                self.keepers.append(keeper)
            if len(self._served) < MOST_HITS:
                ended_s = self.now() - self._began
                self._served.append((_above.get(), ended_s, duration_s, what, digest))
            else:
                self.left_out += 1

    def went(self, part: Part, name: str, parent: int, number: int, seconds: float) -> None:
        """Keep a step that ends now and is no operation; without effect while nobody keeps any, unless it is a node."""
        began_s = self.now() - self._began - seconds
        step = Step(part, name, parent, number, began_s, seconds)
        with self._lock:
            if part is Part.APPLICATION:
                self._keep(None, self._nodes, MOST_NODES, step)
            else:
                self._keep(None, self._steps, MOST_STEPS, step)

    def _keep(self, keeper: Any, into: list[Step], most: int, step: Step) -> None:
        if keeper is not None and keeper not in self.keepers:
            self.keepers.append(keeper)
        if len(into) < most:
            into.append(step)
        else:
            self.left_out += 1

    def elapsed(self) -> float:
        """Seconds since the run began."""
        return self.now() - self._began

    def steps(self) -> Sequence[Step]:
        """The steps that were kept."""
        with self._lock:
            served = [
                Step(Part.CACHE, category, above, 0, ended_s - seconds, seconds, operation, Outcome.HIT, tier,
                     digest=digest[:8].hex())
                for above, ended_s, seconds, (category, operation, tier), digest in self._served
            ]  # fmt: skip
            return (*self._nodes, *self._steps, *served)


def _step(event: OperationEvent, category: str, ended_s: float, seconds: float) -> Step:
    reasons: dict[MissReason, int] = {}
    for (_, _, reason), n in event.lookups.items():
        if reason is not None:
            reasons[reason] = reasons.get(reason, 0) + n
    return Step(
        Part.CACHE,
        category,
        _above.get(),
        event.step,
        ended_s - seconds,
        seconds,
        event.operation,
        event.outcome(),
        event.tier(),
        tuple(reasons.items()),
        event.digest,
        event.error,
        event.batch_size,
        event.count(Outcome.HIT),
    )


_runs: ContextVar[tuple[Tally, ...]] = ContextVar("glasscache_runs", default=())
_above: ContextVar[int] = ContextVar("glasscache_step", default=0)
_numbers = itertools.count(1)


def enter(tally: Tally) -> Token[tuple[Tally, ...]]:
    """Let what happens in this context from now on be added to ``tally`` as well."""
    return _runs.set((*_runs.get(), tally))


def outside() -> Token[tuple[Tally, ...]]:
    """Let what happens in this context from now on be added to no run."""
    return _runs.set(())


def leave(token: Token[Any]) -> None:
    """Undo ``enter``; without effect in another context than the one it was called in."""
    try:
        token.var.reset(token)
    except (ValueError, RuntimeError):
        return


running = _runs.get
"""The sums of every run that this happens in."""


class Level:
    """A step below which others lie, from now on in this context; made only inside of a run.

    Args:
        name: of the category, or of the workflow's node.
        event: of the operation that it lies in; None for a node.
    """

    __slots__ = ("_began", "_name", "_number", "_parent", "_part", "_runs", "_token")

    def __init__(self, part: Part, name: str, runs: tuple[Tally, ...], event: OperationEvent | None = None) -> None:
        self._part, self._name, self._runs = part, name, runs
        self._parent = _above.get() if event is None else self._operation(event)
        self._number = next(_numbers)
        self._token = _above.set(self._number)
        self._began = runs[0].now()

    @staticmethod
    def _operation(event: OperationEvent) -> int:
        if not event.step:
            event.step = next(_numbers)
        return event.step

    def leave(self) -> None:
        """It ends now."""
        leave(self._token)
        seconds = self._runs[0].now() - self._began
        for sums in self._runs:
            sums.went(self._part, self._name, self._parent, self._number, seconds)
