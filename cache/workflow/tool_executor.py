"""Runs tools: permission first, then the cache, then the tool; only successes of read-only tools are kept."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode

from cache.core.fingerprint import Fingerprint
from cache.core.lookup import Computed
from cache.errors import CacheError, CacheKeyError
from cache.key_generator import generate_tool_key
from cache.stores.files import unchanged
from cache.workflow.adapters import computes
from telemetry.runs import tracer
from telemetry.vocabulary import Trigger

Result = tuple[bool, dict[str, Any]]

FILES = "_files"
"""Where a plain client's JSON keeps the fingerprints."""


@dataclass(slots=True)
class _Call:
    """One call on its way: what is asked, and how the tool's own run ended."""

    tool: Any
    payload: Mapping[str, Any]
    sandbox: Any
    handler: Any
    ran: bool = False
    ok: bool = False

    @property
    def name(self) -> str:
        return str(self.tool.name if hasattr(self.tool, "name") else "tool")

    def key(self) -> tuple[Any, ...]:
        """The layer's key: the name, the parameters, the tool's version and the sandbox's root."""
        qualifiers = {"version": getattr(self.tool, "version", "1"), "root": str(getattr(self.sandbox, "root", ""))}
        return self.name, dict(self.payload), qualifiers

    def tags(self) -> tuple[str, ...]:
        """A tag for each path that the payload names."""
        return tuple(f"file:{path}" for path in self.relative_paths())

    def relative_paths(self) -> list[str]:
        relative = getattr(self.sandbox, "relative", str)
        return [relative(path) for path in self._paths()]

    def _paths(self) -> tuple[str, ...]:
        paths = getattr(self.tool, "paths", None)
        return tuple(paths(self.payload)) if callable(paths) else ()

    def check(self) -> None:
        """The permission check: it comes before every answer, cached or not."""
        check = getattr(self.sandbox, "check", None)
        if callable(check) and not _writes(self.tool):
            for path in self._paths():
                check(path)

    def run(self) -> Any:
        """Call the tool with what its function takes: the payload, or payload and sandbox in either order."""
        self.ran = True
        try:
            names = list(inspect.signature(self.handler).parameters)
        except (TypeError, ValueError):
            names = ["payload"]
        if len(names) < 2 or names[0] == "args":
            return self.handler(self.payload)
        first_is_sandbox = names[0] == "sandbox"
        return self.handler(*((self.sandbox, self.payload) if first_is_sandbox else (self.payload, self.sandbox)))

    def settle(self, returned: Any) -> Computed:
        """A tool's return as a result with its files; what is no dict is put into one."""
        self.ok = True
        if isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[0], bool):
            self.ok, returned = returned
        computed = returned if isinstance(returned, Computed) else Computed(returned)
        value = computed.value if isinstance(computed.value, dict) else {"result": computed.value}
        return Computed(value, files=computed.files, store=computed.store and self.ok, ttl=computed.ttl)


def _writes(tool: Any) -> bool:
    tier = getattr(tool, "permission_tier", None)
    return getattr(tier, "name", tier) != "READ_ONLY"


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
            ``(ok, dict)`` or a ``Computed`` that names the files it read.
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
            if cache_client is None or not enable_caching or _writes(call.tool):
                answer = _finish(call, call.settle(call.run()).value)
                _drop_changed(call, cache_client)
                return answer
            value = _through_cache(call, cache_client) if computes(cache_client) else _through_json(call, cache_client)
            return _finish(call, value)
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
    """The twin for ``AsyncCache``; functions that block run in a thread."""
    call = _call(request, registry, sandbox, dispatch_map)
    if isinstance(call, dict):
        return False, call
    with _span(call.name) as span:
        try:
            await asyncio.to_thread(call.check)

            async def compute() -> Computed:
                if inspect.iscoroutinefunction(call.handler):
                    return call.settle(await call.run())
                return await asyncio.to_thread(lambda: call.settle(call.run()))

            if cache is None or not enable_caching or _writes(call.tool):
                answer = _finish(call, (await compute()).value)
                if cache is not None and answer[0] and call.tags():
                    await cache.invalidate(tags=_changed_tags(call), trigger=Trigger.FILE)
                return answer
            try:
                value = await cache.get_or_compute("tool", call.key(), compute, tags=call.tags())
            except CacheKeyError:
                value = (await compute()).value
            return _finish(call, value)
        except Exception as error:
            return _failed(call, error, span)


def _call(request: Any, registry: Any, sandbox: Any, dispatch_map: Mapping[str, Any]) -> _Call | dict[str, Any]:
    tool, handler = registry.get(request.tool_name), dispatch_map.get(request.tool_name)
    if tool is None or handler is None:
        return {"code": "tool_not_found", "tool_name": request.tool_name, "cache_hit": False}
    payload = request.payload if isinstance(request.payload, Mapping) else {}
    return _Call(_Named(tool, request.tool_name), payload, sandbox, handler)


class _Named:
    """A registry's tool under the name that it was found by."""

    def __init__(self, tool: Any, name: str) -> None:
        self._tool, self.name = tool, name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tool, name)


def _span(name: str) -> Any:
    """GenAI convention: the tool and its kind; never arguments or results."""
    attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name, "gen_ai.tool.type": "function"}
    return tracer().start_as_current_span(
        f"execute_tool {name}", attributes=attributes, record_exception=False, set_status_on_exception=False
    )


def _through_cache(call: _Call, cache: Any) -> dict[str, Any]:
    try:
        return cache.get_or_compute("tool", call.key(), lambda: call.settle(call.run()), tags=call.tags())  # type: ignore[no-any-return]
    except CacheKeyError:
        if call.ran:
            raise
        return call.settle(call.run()).value  # type: ignore[no-any-return]


def _through_json(call: _Call, client: Any) -> dict[str, Any]:
    """The same over a plain client: the fingerprints stand in the JSON and are checked at each hit."""
    try:
        key = generate_tool_key(call.name, call.payload)
    except CacheError:
        return call.settle(call.run()).value  # type: ignore[no-any-return]
    found = client.get_json(key)
    if isinstance(found, dict) and _fresh(found.pop(FILES, []), str(getattr(call.sandbox, "root", ""))):
        return found
    computed = call.settle(call.run())
    if computed.store:
        extra = {FILES: [list(file) for file in computed.files]} if computed.files else {}
        client.set_json(key, {**computed.value, **extra})
    return computed.value  # type: ignore[no-any-return]


def _fresh(files: Any, root: str) -> bool:
    try:
        seen = [Fingerprint(*file) for file in files]
    except TypeError:
        return False
    return all(file.path.startswith(root) for file in seen) and unchanged(seen)


def _changed_tags(call: _Call) -> tuple[str, ...]:
    """A written file changes itself and every listing and search above it."""
    changed: dict[str, None] = {}
    for path in call.relative_paths():
        parts = path.split("/")
        changed |= dict.fromkeys("/".join(parts[:n]) for n in range(1, len(parts) + 1))
    return tuple(f"file:{path}" for path in (*changed, "."))


def _drop_changed(call: _Call, client: Any) -> None:
    if not call.ok or not call.tags():
        return
    if computes(client):
        client.invalidate(tags=_changed_tags(call), trigger=Trigger.FILE)
    elif hasattr(client, "invalidate_pattern"):
        client.invalidate_pattern("tool:*")


def _finish(call: _Call, value: dict[str, Any]) -> Result:
    return call.ok or not call.ran, {**value, "cache_hit": not call.ran}


def _failed(call: _Call, error: Exception, span: Span | None = None) -> Result:
    """The tool's own failure, or a refused path: by its class, since a message may hold what it should not."""
    span = span or trace.get_current_span()
    denied = isinstance(error, PermissionError)
    span.set_attribute("error.type", type(error).__qualname__)
    span.set_status(Status(StatusCode.ERROR))
    code = "permission_denied" if denied else "tool_failed"
    return False, {"code": code, "tool_name": call.name, "error": type(error).__name__, "cache_hit": False}
