"""The workflow's first node: a task's messages, from the cache or built."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from cache.core.lookup import Computed
from cache.errors import CacheError, CacheKeyError
from cache.key_generator import generate_context_key
from cache.workflow.adapters import computes, read_json, read_json_async, write_json, write_json_async
from telemetry.vocabulary import Trigger

Build = Callable[[Mapping[str, Any]], Any]


def messages_of(context: Mapping[str, Any]) -> list[Any]:
    """The default builder: the context's own ``history`` and its ``query``, as messages."""
    messages = list(context.get("history", ()))
    if "query" in context:
        messages.append({"role": "user", "content": str(context["query"])})
    return messages


class ContextBuilderNode:
    """Fills ``context["messages"]``; a task's turn is built once.

    Args:
        cache_client: a ``Cache``, a ``RedisCacheClient``, any object with ``get_json`` and ``set_json``, or None.
        build: from the context to its messages; ``messages_of`` when None.
    """

    def __init__(self, cache_client: Any = None, build: Build | None = None) -> None:
        self._client, self._build = cache_client, build or messages_of

    def execute(self, context: dict[str, Any]) -> dict[str, Any]:
        """Look the messages up under ``task_id`` and ``turn`` (0 when absent), or build and store them.

        Without a ``task_id`` nothing is cached. Empty messages are not stored. ``cache_hit`` says which it was.

        Raises:
            Exception: whatever ``build`` raised.
        """
        task_id, turn = context.get("task_id"), context.get("turn", 0)
        if self._client is None or not task_id:
            return _filled(context, self._build(context), hit=False)
        if computes(self._client):
            return self._through_cache(context, task_id, turn)
        key = _key(task_id, turn)
        found = read_json(self._client, key) if key else None
        if isinstance(found, dict) and "messages" in found:
            return _filled(context, found["messages"], hit=True)
        messages = self._build(context)
        if messages and key:
            write_json(self._client, key, {"messages": messages})
        return _filled(context, messages, hit=False)

    def _through_cache(self, context: dict[str, Any], task_id: str, turn: int) -> dict[str, Any]:
        built: list[Any] = []

        def compute() -> Computed:
            made: dict[str, Any] = {}
            built.append(made)
            made["messages"] = self._build(context)
            return Computed(made, store=bool(made["messages"]))

        try:
            value = self._client.get_or_compute("context", (task_id, turn), compute)
        except CacheKeyError:
            if built:
                raise
            value = compute().value
        return _filled(context, value["messages"], hit=not _made_here(value, built))

    def new_message(self, task_id: str) -> int:
        """Drop what was built for a task: a message was added. Returns how many scopes or keys that were."""
        if self._client is None:
            return 0
        if computes(self._client):
            return self._client.invalidate(tags=(f"task:{task_id}",), trigger=Trigger.MESSAGE)
        return self._client.invalidate_pattern(_pattern(task_id)) if hasattr(self._client, "invalidate_pattern") else 0


class AsyncContextBuilderNode:
    """The twin for ``AsyncCache`` and clients that are awaited; ``build`` may be a coroutine function."""

    def __init__(self, cache: Any = None, build: Build | None = None) -> None:
        self._cache, self._build = cache, build or messages_of

    async def execute(self, context: dict[str, Any]) -> dict[str, Any]:
        """As ``ContextBuilderNode.execute``."""
        task_id, turn = context.get("task_id"), context.get("turn", 0)
        built: list[Any] = []

        async def compute() -> Computed:
            made: dict[str, Any] = {}
            built.append(made)
            messages = self._build(context)
            made["messages"] = await messages if inspect.isawaitable(messages) else messages
            return Computed(made, store=bool(made["messages"]))

        if self._cache is None or not task_id:
            return _filled(context, (await compute()).value["messages"], hit=False)
        if not computes(self._cache):
            return await self._through_json(context, _key(task_id, turn), compute)
        try:
            value = await self._cache.get_or_compute("context", (task_id, turn), compute)
        except CacheKeyError:
            if built:
                raise
            value = (await compute()).value
        return _filled(context, value["messages"], hit=not _made_here(value, built))

    async def new_message(self, task_id: str) -> int:
        """As ``ContextBuilderNode.new_message``."""
        if self._cache is None:
            return 0
        if hasattr(self._cache, "invalidate"):
            return int(await self._cache.invalidate(tags=(f"task:{task_id}",), trigger=Trigger.MESSAGE))
        pattern = _pattern(task_id)
        return int(await self._cache.invalidate_pattern(pattern)) if hasattr(self._cache, "invalidate_pattern") else 0

    async def _through_json(
        self, context: dict[str, Any], key: str | None, compute: Callable[[], Awaitable[Computed]]
    ) -> dict[str, Any]:
        found = await read_json_async(self._cache, key) if key else None
        if isinstance(found, dict) and "messages" in found:
            return _filled(context, found["messages"], hit=True)
        computed = await compute()
        if computed.store and key:
            await write_json_async(self._cache, key, computed.value)
        return _filled(context, computed.value["messages"], hit=False)


def _key(task_id: Any, turn: Any) -> str | None:
    """The specification's key; None for what has none."""
    try:
        return generate_context_key(task_id, turn)
    except CacheError:
        return None


def _pattern(task_id: str) -> str:
    """All turns of a task.

    Raises:
        CacheKeyError: the task has no key.
    """
    return generate_context_key(task_id, 0).rpartition(":")[0] + ":*"


def _made_here(value: Any, built: list[Any]) -> bool:
    """True when this call built the value; a refresh in the background builds too, for the next one."""
    return any(made is value for made in built)


def _filled(context: dict[str, Any], messages: Any, *, hit: bool) -> dict[str, Any]:
    context["messages"], context["cache_hit"] = messages, hit
    return context
