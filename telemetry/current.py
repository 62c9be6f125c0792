"""The current span by the shortest way: the API's own context variable and key, found through its public face.

OpenTelemetry API only.
"""

from __future__ import annotations

from contextvars import ContextVar, Token

from opentelemetry import context, trace
from opentelemetry.context import Context

(KEY,) = trace.set_span_in_context(trace.INVALID_SPAN, Context())
"""Under which a context holds its current span."""


def variable() -> ContextVar[Context] | None:
    """What holds the current context; None when ``OTEL_PYTHON_CONTEXT`` put something else in its place."""
    token: object = context.attach(context.get_current())
    context.detach(token)  # type: ignore[arg-type]
    return token.var if isinstance(token, Token) else None
