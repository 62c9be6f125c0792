"""Runs tools: permission first, then the cache, then the tool; only successes of read-only tools are kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import Span, Status, StatusCode

from cache.errors import CacheKeyError
from cache.workflow.adapters import computes
from cache.workflow.json_results import through_json, through_json_async
from cache.workflow.tool_call import ToolCall
from telemetry.runs import tracer
from telemetry.vocabulary import Trigger

Result = tuple[bool, dict[str, Any]]

_log = logging.getLogger("glasscache")


def execute_tool_call(
    request: Any,
    registry: Any,
    sandbox: Any,
    dispatch_map: Mapping[str, Any],
    cache_client: Any = None,
    enable_caching: bool = True,
) -> Result:
    """Run one tool, or answer from the cache.

    Args:
        request: has ``tool_name`` and ``payload``.
        registry: ``get(name)`` gives a tool with ``permission_tier``, or None.
        sandbox: ``check(path)`` refuses what may not be read; asked before every answer.
        dispatch_map: from name to a function of the payload, or of payload and sandbox, that returns a dict,
            ``(ok, dict)`` or a ``Computed`` that names the files it read; where it names none, the paths that the
            tool's payload names are watched.
        cache_client: a ``Cache``, a ``RedisCacheClient``, or any object with ``get_json`` and ``set_json``.
        enable_caching: False runs the tool itself.

    Returns:
        ``(ok, result)``; ``result["cache_hit"]`` says which it was. An unknown tool is
        ``(False, {"code": "tool_not_found", ...})``, a refused path ``permission_denied``, a tool that
        raised ``tool_failed`` with the error's class.
    """
    call = _call(request, registry, sandbox, dispatch_map)
    if isinstance(call, dict):
        return False, call
    with _span(call.name) as span:
        try:
            call.check()
            if cache_client is None or not enable_caching or not call.read_only:
                answer = call.finish(call.compute().value)
                if answer[0] and not call.read_only:
                    _drop_changed(call, cache_client)
                return answer
            value = _through_cache(call, cache_client) if computes(cache_client) else through_json(call, cache_client)
            return call.finish(value)
        except Exception as error:
            return _failed(call, error, span)


async def execute_tool_call_async(
    request: Any,
    registry: Any,
    sandbox: Any,
    dispatch_map: Mapping[str, Any],
    cache: Any = None,
    enable_caching: bool = True,
) -> Result:
    """The twin for ``AsyncCache`` and clients that are awaited; functions that block run in a thread."""
    call = _call(request, registry, sandbox, dispatch_map)
    if isinstance(call, dict):
        return False, call
    with _span(call.name) as span:
        try:
            await asyncio.to_thread(call.check)
            if cache is None or not enable_caching or not call.read_only:
                answer = call.finish((await call.compute_async()).value)
                if answer[0] and not call.read_only:
                    await _drop_changed_async(call, cache)
                return answer
            through = _through_cache_async if computes(cache) else through_json_async
            return call.finish(await through(call, cache))
        except Exception as error:
            return _failed(call, error, span)


def _call(request: Any, registry: Any, sandbox: Any, dispatch_map: Mapping[str, Any]) -> ToolCall | dict[str, Any]:
    tool, handler = registry.get(request.tool_name), dispatch_map.get(request.tool_name)
    if tool is None or handler is None:
        return {"code": "tool_not_found", "tool_name": request.tool_name, "cache_hit": False}
    payload = request.payload if isinstance(request.payload, Mapping) else {}
    return ToolCall(tool, request.tool_name, payload, sandbox, handler)


def _span(name: str) -> Any:
    """GenAI convention: the tool and its kind; never arguments or results."""
    attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name, "gen_ai.tool.type": "function"}
    return tracer().start_as_current_span(
        f"execute_tool {name}", attributes=attributes, record_exception=False, set_status_on_exception=False
    )


def _through_cache(call: ToolCall, cache: Any) -> dict[str, Any]:
    ran = False

    def compute() -> Any:
        nonlocal ran
        ran = True
        return call.compute()

    try:
        return cache.get_or_compute("tool", call.key(), compute, tags=call.tags())  # type: ignore[no-any-return]
    except CacheKeyError:
        if ran:
            raise
        return call.compute().value  # type: ignore[no-any-return]


async def _through_cache_async(call: ToolCall, cache: Any) -> dict[str, Any]:
    ran = False

    async def compute() -> Any:
        nonlocal ran
        ran = True
        return await call.compute_async()

    try:
        return await cache.get_or_compute("tool", call.key(), compute, tags=call.tags())  # type: ignore[no-any-return]
    except CacheKeyError:
        if ran:
            raise
        return (await call.compute_async()).value  # type: ignore[no-any-return]


def _drop_changed(call: ToolCall, client: Any) -> None:
    """Drop what a write changed; the write itself is done, so that trouble here is logged only."""
    try:
        tags = call.changed_tags()
        if tags and computes(client):
            client.invalidate(tags=tags, trigger=Trigger.FILE)
        elif tags and hasattr(client, "invalidate_pattern"):
            client.invalidate_pattern("tool:*")
    except Exception as error:
        _not_dropped(error)


async def _drop_changed_async(call: ToolCall, cache: Any) -> None:
    """The twin of ``_drop_changed``."""
    try:
        tags = call.changed_tags()
        if tags and hasattr(cache, "invalidate"):
            await cache.invalidate(tags=tags, trigger=Trigger.FILE)
        elif tags and hasattr(cache, "invalidate_pattern"):
            await cache.invalidate_pattern("tool:*")
    except Exception as error:
        _not_dropped(error)


def _not_dropped(error: Exception) -> None:
    _log.warning("a written file's results were not dropped, its fingerprint will tell: %s", type(error).__name__)


def _failed(call: ToolCall, error: Exception, span: Span) -> Result:
    """The tool's own failure, or a refused path: by its class, since a message may hold what it should not."""
    span.set_attribute("error.type", type(error).__qualname__)
    span.set_status(Status(StatusCode.ERROR))
    code = "permission_denied" if isinstance(error, PermissionError) else "tool_failed"
    return False, {"code": code, "tool_name": call.name, "error": type(error).__name__, "cache_hit": False}
