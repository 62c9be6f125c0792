"""What every operation works with: the collaborators of one cache, handed in once.

``Engine`` holds no connection and reads no clock of its own; operations are generators
over it (``reading``, ``writing``, ``computing``, ``invalidating``, ``explaining``).
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from cache.clock import Clock, Deadline
from cache.core.budget import Budget, Budgets
from cache.core.checking import Checks
from cache.core.entry import Sealer
from cache.core.fingerprint import Fingerprint
from cache.core.flights import Flights
from cache.core.generations import GenerationView, TokenSource, category_scope, tag_scope
from cache.core.hiding import Hidden
from cache.core.history import History
from cache.core.known import scope_name
from cache.core.local import LocalTier
from cache.core.memory import FailureMemory
from cache.core.pending import Debts, Pending
from cache.core.policies import Policy, PolicyTable
from cache.core.shelves import Shelf, Shelves, Wanted
from cache.core.steps import Step
from cache.core.together import Questions
from cache.errors import StoreError
from telemetry.events import OperationEvent
from telemetry.vocabulary import BreakerState

if TYPE_CHECKING:
    from telemetry.recorder import Recorder

T = TypeVar("T")
Operation = Generator[Step, Any, T]
"""An operation: yields steps, is sent their answers, returns a ``T``."""


@dataclass(slots=True, kw_only=True)
class Engine:
    """The collaborators of one cache.

    Args:
        recorder: receives one event per operation.
        clock: all time comes from it.
        identity: eight bytes that name the connected server, empty for "do not compare".
        breaker: state of the store's breaker, for spans.
        unchanged: tells whether files are still what their fingerprints say.
        read_s: deadline of a whole read, seconds.
        write_s: deadline of a whole write, seconds.
        sweep_s: how long one pattern may scan, seconds.
        settle_s: how long a pattern waits after it refused the writes that are under way, seconds; in a cluster one may
            have been let through a moment before.
        hidden: hides what names in Redis would say; None leaves them readable.
        debts: what is pending of tenants; None makes a new account.
        budgets: how much the namespace and each tenant may write; None sets no bounds.
        local: what is kept in the process for the categories that ask for it; None where none does.
        checks: chooses hits that are computed again; None where no category is repeatable.
    """

    recorder: Recorder
    clock: Clock
    identity: Callable[[], bytes]
    breaker: Callable[[], BreakerState]
    unchanged: Callable[[Sequence[Fingerprint]], bool]
    policies: PolicyTable = field(default_factory=PolicyTable)
    namespace: str = ""
    hidden: Hidden | None = None
    sealer: Sealer = field(default_factory=Sealer)
    enabled: bool = True
    read_s: float = 0.05
    write_s: float = 0.1
    sweep_s: float = 10.0
    settle_s: float = 0.0
    tokens: TokenSource = secrets.token_bytes
    rand: Callable[[], float] = random.random
    view: GenerationView = field(default_factory=GenerationView)
    flights: Flights = field(default_factory=Flights)
    questions: Questions = field(default_factory=Questions)
    failures: FailureMemory = field(default_factory=FailureMemory)
    history: History = field(default_factory=History)
    local: LocalTier | None = None
    checks: Checks | None = None
    debts: Debts = None  # type: ignore[assignment]
    budgets: Budgets | None = None
    budget: Budget | None = field(init=False)
    pending: Pending = field(init=False)
    shelves: Shelves = field(init=False, repr=False)

    def __post_init__(self) -> None:
        scopes = [category_scope(name) for name in self.policies]
        self.pending = Pending(scopes)
        self.debts = self.debts or Debts(scopes)
        self.budget = self.budgets.of(self.namespace) if self.budgets is not None else None
        self.shelves = Shelves(self.namespace, self.policies, self.hidden)

    def reading(self) -> Deadline:
        """The deadline of a read that begins now."""
        return Deadline(self.clock, self.read_s)

    def writing(self) -> Deadline:
        """The deadline of a write that begins now."""
        return Deadline(self.clock, self.write_s)

    def failed(self, event: OperationEvent, trouble: StoreError) -> None:
        """Note an operation's trouble with the store, and what its breaker says now."""
        event.fail(trouble.kind)
        event.breaker = self.breaker()

    def changed(self, *, names: Iterable[str] = (), scopes: Iterable[str] = ()) -> None:
        """Say that we changed keys (their Redis names) or scopes, or may have: the local tier forgets them."""
        if self.local is not None:
            self.local.changed(names, scopes)

    def shelf(self, category: str) -> Shelf:
        """What follows from a category.

        Raises:
            UnknownCategoryError: nobody registered it.
        """
        try:
            return self.shelves[category]
        except TypeError:
            return self.shelves[self.policies[category].name]

    def want(self, policy: Policy, key: Any, tags: Sequence[str] = ()) -> Wanted:
        """Where a key lives and its scopes: the category, the tags of its policy, the call's tags.

        Raises:
            CacheKeyError: the key or a tag cannot be encoded, or there are too many tags.
        """
        return self.shelves[policy.name].want(key, tags)

    def tag_scope(self, tag: str) -> str:
        """Name of a tag's scope."""
        return tag_scope(tag if self.hidden is None else self.hidden.part(tag))

    def scope_name(self, scope: str) -> str:
        """The Redis key of a scope's generation."""
        return scope_name(self.namespace, scope)

    def lifetime_ms(self, policy: Policy, horizon_s: float = 0.0) -> int:
        """Milliseconds that generations live: twice what the longest entry under them may."""
        longest = max(policy.ttl_s + policy.stale_window(policy.ttl_s), horizon_s, 3600.0)
        return int(min(longest, 315_360_000.0) * 2000)
