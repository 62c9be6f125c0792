"""Work that is not observed: what accounts for others makes no spans of its own. OpenTelemetry API only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context

_PLAIN = "suppress_instrumentation"
KEYS = (_PLAIN, getattr(context, "_SUPPRESS_INSTRUMENTATION_KEY", _PLAIN))
"""What instrumentations look for before they make a span: the name of old, and the API's key of today."""


@contextmanager
def unobserved() -> Iterator[None]:
    """No instrumentation that honours the convention makes a span inside this ``with``."""
    quiet = context.get_current()
    for key in KEYS:
        quiet = context.set_value(key, True, quiet)
    token = context.attach(quiet)
    try:
        yield
    finally:
        context.detach(token)
