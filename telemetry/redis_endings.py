"""How a Redis span begins and ends: attributes, status and event, the same for redis-py's path and for a driver's own.

What is said is worked out as plain data and told to a span afterwards. OpenTelemetry API only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.trace import Span, Status, StatusCode

from telemetry import redis_words as words

SCOPE = "opentelemetry.instrumentation.redis"
"""Name of the instrumentation scope of every Redis span, whoever makes it."""

COMPLETES = "_glasscache_completes"
"""Attribute of the wrapper of ours that completes what the instrumentation leaves out."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What is to be said of a command that did not end well.

    Args:
        error_type: ``error.type``.
        status_code: the server's code, such as ``WRONGTYPE``; empty when it did not answer with an error.
        exception: class of the error that makes the span's status ERROR; empty when nothing failed.
    """

    error_type: str
    status_code: str
    exception: str = ""

    def attributes(self) -> dict[str, str]:
        """What the span carries of it."""
        said = {"error.type": self.error_type}
        if self.status_code:
            said["db.response.status_code"] = self.status_code
        return said

    def tell(self, span: Span) -> None:
        """Say it on a span."""
        span.set_attributes(self.attributes())
        if self.exception:
            span.set_status(Status(StatusCode.ERROR, self.error_type))
            span.add_event("exception", {"exception.type": self.exception})


def beginning(commands: Sequence[Sequence[Any]], database: str, *, pipeline: bool) -> tuple[str, dict[str, str | int]]:
    """Name of the span, and the attributes that complete the database convention.

    Args:
        commands: each as its arguments, the command's name first.
        database: number of the database, as text.
    """
    operation = words.pipeline_operation(commands) if pipeline else words.operation(commands[0])
    attributes: dict[str, str | int] = {
        "db.system.name": "redis",
        "db.operation.name": operation,
        "db.namespace": database,
        "db.query.text": words.query_text(commands),
    }
    if pipeline and len(commands) != 1:
        attributes["db.operation.batch.size"] = len(commands)
    return operation, attributes


def ending(error: BaseException | None, reply: Any = None, *, pipeline: bool = False) -> Ending | None:
    """What is to be said at the end; None when all went well.

    Args:
        error: what the command raised.
        reply: a pipeline's may hold errors that nobody raised.
    """
    if error is not None:
        # a lost race of WATCH and a cancelled task are no failures of the server
        failed = isinstance(error, Exception) and type(error).__name__ != "WatchError"
        return _described(error, words.class_name(error) if failed else "")
    if pipeline and isinstance(reply, list):
        within = next((item for item in reply if isinstance(item, Exception)), None)
        return None if within is None else _described(within)
    return None


def _described(error: BaseException, exception: str = "") -> Ending:
    return Ending(words.error_type(error), words.status_code(error), exception)
