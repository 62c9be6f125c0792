"""Telemetry of glasscache: one schema, one event per operation, one ledger.

``telemetry.setup`` is handed on when asked for, because it needs the SDK and the library does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from telemetry.provider import Telemetry, instrument_fastapi, setup

__all__ = ["Telemetry", "instrument_fastapi", "setup"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from telemetry import provider

    return getattr(provider, name)
