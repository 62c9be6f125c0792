"""One table of colours, so that an outcome, a reason or a category looks the same on every panel.

The hues are those of Okabe and Ito, told apart by colour-blind readers, some of them lightened so that they stand out
on Grafana's dark and light backgrounds alike. A category that an application registers takes a colour by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from telemetry.vocabulary import (
    ALL,
    GENERAL,
    OTHER,
    BreakerState,
    ErrorType,
    EvictionCause,
    FlightScope,
    MissReason,
    MissTrigger,
    Outcome,
    Trigger,
    VerificationResult,
    WriteResult,
)

GREEN, AMBER, RED, VIOLET = "#00A67D", "#E69F00", "#E0452C", "#A371F7"
BLUE, SKY, PINK, YELLOW = "#3D85E0", "#62BDEE", "#D77FB1", "#E8DC4A"
BROWN, TEAL, GREY, PALE = "#B0703C", "#3FB8AF", "#8E8E99", "#B9B9C4"

GOOD, WARN, BAD, QUIET = GREEN, AMBER, RED, GREY

OUTCOMES: Mapping[Outcome, str] = {
    Outcome.HIT: GREEN,
    Outcome.MISS: AMBER,
    Outcome.STALE: VIOLET,
    Outcome.ERROR: RED,
    Outcome.BYPASS: GREY,
    Outcome.OK: SKY,
}

NOT_TOLD = "not told"
"""Stands for the reason of a miss that an application counted without one."""

REASONS: Mapping[str, str] = {
    MissReason.COLD: SKY,
    MissReason.EXPIRED: AMBER,
    MissReason.INVALIDATED: PINK,
    MissReason.EVICTED: BROWN,
    MissReason.CHANGED: BLUE,
    MissReason.VERSION: TEAL,
    MissReason.CORRUPT: RED,
    MissReason.COLLISION: YELLOW,
    MissReason.UNKNOWN: VIOLET,
    NOT_TOLD: GREY,
}

CATEGORIES: Mapping[str, str] = {
    "context": BLUE,
    "embedding": AMBER,
    "tool": GREEN,
    "prompt": PINK,
    "static": SKY,
    OTHER: GREY,
    GENERAL: PALE,
    ALL: VIOLET,
}
"""The built-in ones, ``static`` that is shipped, and the three that stand for none."""

ERRORS: Mapping[ErrorType, str] = {
    ErrorType.TIMEOUT: AMBER,
    ErrorType.REFUSED: RED,
    ErrorType.BREAKER_OPEN: VIOLET,
    ErrorType.POOL_EXHAUSTED: BROWN,
    ErrorType.AUTH: PINK,
    ErrorType.NOPERM: YELLOW,
    ErrorType.READONLY: BLUE,
    ErrorType.OOM: GREEN,
    ErrorType.LOADING: SKY,
    ErrorType.PROTOCOL: TEAL,
    ErrorType.DECODE: PALE,
    ErrorType.OTHER: GREY,
}

EVICTIONS: Mapping[EvictionCause, str] = {
    EvictionCause.CAPACITY: BROWN,
    EvictionCause.EXPIRED: AMBER,
    EvictionCause.INVALIDATED: PINK,
    EvictionCause.CHANGED: BLUE,
    EvictionCause.DISCONNECTED: RED,
}

WRITES: Mapping[WriteResult, str] = {
    WriteResult.STORED: GREEN,
    WriteResult.REFUSED: VIOLET,
    WriteResult.DROPPED: RED,
    WriteResult.TOO_LARGE: AMBER,
    WriteResult.OVER_BUDGET: BROWN,
}

VERIFICATIONS: Mapping[VerificationResult, str] = {
    VerificationResult.SAME: GREEN,
    VerificationResult.DIFFERENT: RED,
    VerificationResult.OVERTAKEN: SKY,
    VerificationResult.FAILED: AMBER,
}

TRIGGERS: Mapping[Trigger, str] = {
    Trigger.API: BLUE,
    Trigger.MESSAGE: PINK,
    Trigger.FILE: AMBER,
    Trigger.TAG: TEAL,
    Trigger.ADMIN: VIOLET,
    Trigger.VERIFICATION: RED,
}

MISS_TRIGGERS: Mapping[MissTrigger, str] = {
    MissTrigger.KEY: BLUE,
    MissTrigger.TAG: TEAL,
    MissTrigger.CATEGORY: PINK,
    MissTrigger.PATTERN: AMBER,
    MissTrigger.RESTART: RED,
}

SCOPES: Mapping[FlightScope, str] = {FlightScope.PROCESS: SKY, FlightScope.FLEET: BLUE}

BREAKER: Mapping[BreakerState, str] = {
    BreakerState.CLOSED: GREEN,
    BreakerState.HALF_OPEN: AMBER,
    BreakerState.OPEN: RED,
}

QUANTILES: Mapping[str, str] = {"p50": SKY, "p95": BLUE, "p99": VIOLET}


def of(table: Mapping[Any, str]) -> dict[str, str]:
    """A table with its words as plain text."""
    return {str(word): colour for word, colour in table.items()}
