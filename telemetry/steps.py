"""The steps of a workflow run: what was done in it, when, below what; plain data, without a key, a value or a path."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, NamedTuple

from telemetry.vocabulary import ErrorType, MissReason, Operation, Outcome, Tier

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,31}\Z")


class Part(StrEnum):
    """Whose time a step takes."""

    APPLICATION = "application"
    CACHE = "cache"
    COMPUTE = "compute"
    WAIT = "wait"
    """For another caller's computation."""


class Step(NamedTuple):
    """One step of a run.

    Args:
        name: of the category, or of the workflow's node.
        parent: number of the step that it lies in; 0: the run itself.
        number: its own; 0: nothing lies below it.
        began_s: seconds since the run began.
        outcome: of the whole operation; None of what is none.
        reasons: how many lookups missed for each reason.
        digest: first 16 hex of the key's SHA-256.
        size: keys of a batch; None: a single one.
        hits: of them.
    """

    part: Part
    name: str
    parent: int
    number: int
    began_s: float
    seconds: float
    operation: Operation | None = None
    outcome: Outcome | None = None
    tier: Tier | None = None
    reasons: tuple[tuple[MissReason, int], ...] = ()
    digest: str | None = None
    error: ErrorType | None = None
    size: int | None = None
    hits: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {**self._asdict(), "reasons": dict(self.reasons)}


def word(name: str, other: str) -> str:
    """A name from the code as it is shown; ``other`` in place of what is none and may be data, such as a path."""
    return name if _NAME.match(name) else other
