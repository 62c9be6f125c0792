"""Logs: once per change of state, with trace and span id; lines of JSON where a setting asks for them."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from opentelemetry import trace

FIELDS = "glasscache"
"""Attribute of a log record that holds its structured fields."""

# without a handler Python prints a library's warnings; whether they are printed is for the application to say
logging.getLogger("glasscache").addHandler(logging.NullHandler())

_QUIET = {"closed": logging.INFO, "half_open": logging.DEBUG, "on": logging.INFO}


class StateLog:
    """Logs a state when it changes, and only then.

    Args:
        logger: where to.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._states: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def changed(self, what: str, state: str, **fields: str) -> bool:
        """Log that ``what`` is in ``state`` now; True when that is new. A first, quiet state is only remembered."""
        key = (what, repr(sorted(fields.items())))
        with self._lock:
            before = self._states.get(key)
            self._states[key] = state
        if before == state or (before is None and state in _QUIET):
            return False
        level = _QUIET.get(state, logging.WARNING)
        self._logger.log(level, "%s is %s", what, state, extra={FIELDS: {what: state, **fields}})
        return True


class TraceFilter(logging.Filter):
    """Puts ``trace_id`` and ``span_id`` on every record; empty outside of a span."""

    def filter(self, record: logging.LogRecord) -> bool:
        context = trace.get_current_span().get_span_context()
        record.trace_id = f"{context.trace_id:032x}" if context.is_valid else ""
        record.span_id = f"{context.span_id:016x}" if context.is_valid else ""
        return True


class JSONFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            **getattr(record, FIELDS, {}),
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "trace_id": getattr(record, "trace_id", ""),
            "span_id": getattr(record, "span_id", ""),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__qualname__
        return json.dumps(line, default=str)


def configure_logging(*, as_json: bool = False, level: int = logging.INFO) -> None:
    """Set the root logger up for one of our own programs; a library never does this."""
    logging.basicConfig(level=level, handlers=[_handler(as_json=as_json)], force=True)


@contextmanager
def shown(logger: logging.Logger, *, as_json: bool = False) -> Iterator[None]:
    """Print one logger's lines while a short command runs; everything else stays as quiet as it was."""
    handler, before = _handler(as_json=as_json), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def _handler(*, as_json: bool) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(TraceFilter())
    text = "%(asctime)s %(levelname)s %(name)s: %(message)s trace_id=%(trace_id)s"
    handler.setFormatter(JSONFormatter() if as_json else logging.Formatter(text))
    return handler
