"""Telemetry of glasscache: one schema, one event per operation, one ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from telemetry.provider import Telemetry

__all__ = ["setup"]


def setup(**options: Any) -> Telemetry:
    """Set the SDK up for a program; the arguments are those of ``telemetry.provider.setup``.

    Raises:
        ImportError: the extra ``glasscache[otel]`` is not installed.
    """
    from telemetry.provider import setup as set_up

    return set_up(**options)
