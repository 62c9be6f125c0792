"""The context node and its twin: built once a turn, dropped by a new message, never in the workflow's way."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cache import MISS, AsyncCache, Cache
from cache.async_redis_client import AsyncRedisCacheClient
from cache.errors import CacheKeyError
from cache.workflow.context_builder_node import AsyncContextBuilderNode, ContextBuilderNode


class Builder:
    """Builds what it is told, and counts."""

    def __init__(self, messages: Any) -> None:
        self.messages, self.calls = messages, 0

    def __call__(self, context: Any) -> Any:
        self.calls += 1
        if isinstance(self.messages, Exception):
            raise self.messages
        return self.messages


HELLO = [{"role": "user", "content": "hello"}]


def test_a_turn_is_built_once(client: Any) -> None:
    """The second look at a turn is a hit; another turn and another task are built."""
    build = Builder(HELLO)
    node = ContextBuilderNode(client, build)
    asked = [("t1", 0), ("t1", 0), ("t1", 1), ("t2", 0), ("t1", 1)]
    seen = [node.execute({"task_id": task, "turn": turn}) for task, turn in asked]

    assert [context["cache_hit"] for context in seen] == [False, True, False, False, True]
    assert all(context["messages"] == HELLO for context in seen)
    assert build.calls == 3


def test_an_absent_turn_is_turn_0(client: Any) -> None:
    """Without a turn it is 0, and the context is the caller's own mapping, filled."""
    node = ContextBuilderNode(client, Builder(HELLO))
    context: dict[str, Any] = {"task_id": "t", "query": "q"}
    filled = node.execute(context)

    assert filled is context
    assert filled == {"task_id": "t", "query": "q", "messages": HELLO, "cache_hit": False}
    assert node.execute({"task_id": "t", "turn": 0})["cache_hit"] is True


@pytest.mark.parametrize(
    "context", [{}, {"task_id": None}, {"task_id": ""}, {"task_id": 5}, {"task_id": "t", "turn": "x"}]
)
def test_what_has_no_key_is_built_each_time(client: Any, context: dict[str, Any]) -> None:
    """Without a task, or with one that has no key, nothing is cached and nothing breaks."""
    build = Builder(HELLO)
    node = ContextBuilderNode(client, build)

    assert [node.execute(dict(context))["cache_hit"] for _ in range(2)] == [False, False]
    assert build.calls == 2


def test_empty_messages_are_not_stored(client: Any) -> None:
    """A context that has no messages yet is built again at the next look."""
    build = Builder([])
    node = ContextBuilderNode(client, build)

    assert [node.execute({"task_id": "t"})["cache_hit"] for _ in range(2)] == [False, False]


def test_a_new_message_drops_the_task_and_no_other(client: Any) -> None:
    """All turns of the task are built again, those of a task whose name begins alike are not."""
    node = ContextBuilderNode(client, Builder(HELLO))
    asked = [("t*", 0), ("t*", 1), ("t*:1", 0), ("tx", 0)]
    for task, turn in asked:
        node.execute({"task_id": task, "turn": turn})
    assert node.new_message("t*") > 0

    hits = [node.execute({"task_id": task, "turn": turn})["cache_hit"] for task, turn in asked]
    assert hits == [False, False, True, True]


def test_a_builders_error_is_the_callers(client: Any) -> None:
    """What the builder raised comes out unchanged, once, also when it looks like an error of the cache."""
    for error in (RuntimeError("mine"), CacheKeyError("mine")):
        build = Builder(error)
        with pytest.raises(type(error)) as caught:
            ContextBuilderNode(client, build).execute({"task_id": "t"})
        assert caught.value is error
        assert build.calls == 1


def test_a_caller_may_change_what_it_got(client: Any) -> None:
    """Messages that a caller changed are as they were for the next."""
    node = ContextBuilderNode(client, lambda _: [{"role": "user", "content": "hello"}])
    for _ in range(2):
        node.execute({"task_id": "t"})["messages"].append("mine")

    assert node.execute({"task_id": "t"})["messages"] == HELLO


def test_a_message_during_the_building_wins(glasscache_url: str) -> None:
    """What was built from the messages before a new one is not kept."""
    building, go = threading.Event(), threading.Event()

    def build(context: Any) -> Any:
        building.set()
        assert go.wait(10)
        return ["old"]

    with Cache.from_url(glasscache_url) as cache, ThreadPoolExecutor(1) as pool:
        node = ContextBuilderNode(cache, build)
        running = pool.submit(node.execute, {"task_id": "t"})
        assert building.wait(10)
        node.new_message("t")
        go.set()

        assert running.result(10)["messages"] == ["old"]
        assert cache.get("context", ("t", 0)) is MISS


@pytest.mark.parametrize("url", [None, "unix:///nonexistent/valkey.sock"])
def test_no_cache_or_a_dead_one_is_no_trouble(url: str | None) -> None:
    """Without a server the node builds each time, and a new message is taken."""
    cache = Cache.from_url(url) if url else None
    node = ContextBuilderNode(cache, Builder(HELLO))

    assert [node.execute({"task_id": "t"})["cache_hit"] for _ in range(3)] == [False] * 3
    node.new_message("t")
    if cache:
        cache.close()


def test_the_default_messages() -> None:
    """Without a builder of one's own the messages are the context's history and its query."""
    context = ContextBuilderNode().execute({"history": HELLO, "query": "and?"})

    assert context["messages"] == [*HELLO, {"role": "user", "content": "and?"}]


def test_the_twin(glasscache_url: str) -> None:
    """The twin builds with functions and coroutines, hits, drops, and runs on without a cache."""

    async def build(context: Any) -> Any:
        await asyncio.sleep(0)
        return HELLO

    async def main(client: Any) -> list[bool]:
        async with client as cache:
            node, plain = AsyncContextBuilderNode(cache, build), AsyncContextBuilderNode(cache, lambda _: HELLO)
            hits = [(await one.execute({"task_id": "t"}))["cache_hit"] for one in (node, node, plain)]
            assert await node.new_message("t") == 1
            assert await AsyncContextBuilderNode(None).new_message("t") == 0
            hits += [
                (await node.execute(dict(context)))["cache_hit"] for context in ({"task_id": "t"}, {}, {"task_id": 5})
            ]
            hits.append((await AsyncContextBuilderNode(None, build).execute({"task_id": "t"}))["cache_hit"])
            return hits

    for client in (AsyncCache.from_url(glasscache_url), AsyncRedisCacheClient(glasscache_url)):
        assert asyncio.run(main(client)) == [False, True, True, False, False, False, False]
        with Cache.from_url(glasscache_url) as cache:
            cache.invalidate(category="context")
            cache.invalidate(pattern="context:*")
