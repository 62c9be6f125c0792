"""Which hits are computed again, as layer and core see it; who decides and compares lies in ``cache.insight``."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from cache.core.policies import Policy
    from cache.core.shelves import Wanted


class Check(Protocol):
    """One hit that is to be checked."""

    def __call__(self) -> Any:
        """The operation that does it."""

    def left(self) -> None:
        """It will not be run."""


class Checks(Protocol):
    """Chooses hits and computes them again in the background.

    Attributes:
        categories: those whose computations are declared repeatable.
        left: how many hits pass until the next one is chosen; every hit of these categories takes one off.
    """

    left: int

    @property
    def categories(self) -> AbstractSet[str]:
        """The names."""

    def chosen(self, engine: Any, policy: Policy, want: Wanted, compute: Callable[[], Any]) -> Check | None:
        """The operation that checks this hit, to be run in the background; None when enough is checked already."""

    def close(self) -> None:
        """Check nothing any more."""
