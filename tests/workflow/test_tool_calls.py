"""``execute_tool_call`` and its twin: what is cached, what is told, and what never breaks a call."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry import trace
from support.faces import Ticking

from cache import AsyncCache, Cache
from cache.async_redis_client import AsyncRedisCacheClient
from cache.core.lookup import Computed
from cache.core.policies import PolicyTable
from cache.workflow.tool_executor import execute_tool_call, execute_tool_call_async
from cache.workflow.tools import PermissionTier, Tool, ToolRegistry, ToolRequest
from telemetry.testing import Captured, capture

REGISTRY = ToolRegistry((Tool("look", PermissionTier.READ_ONLY), Tool("change", PermissionTier.WRITE)))


def call(handler: Any, client: Any = None, tool: str = "look", **payload: Any) -> Any:
    """One call of a tool whose function is ``handler``."""
    return execute_tool_call(ToolRequest(tool, payload), REGISTRY, None, {tool: handler}, client)


async def call_async(handler: Any, client: Any = None, tool: str = "look", **payload: Any) -> Any:
    """The same, awaited."""
    return await execute_tool_call_async(ToolRequest(tool, payload), REGISTRY, None, {tool: handler}, client)


def both_ways(payload: dict[str, Any], sandbox: Any) -> dict[str, Any]:
    return {"payload": dict(payload), "sandbox": sandbox}


def sandbox_first(sandbox: Any, payload: dict[str, Any]) -> dict[str, Any]:
    return {"payload": dict(payload), "sandbox": sandbox}


def own_default(payload: dict[str, Any], encoding: str = "utf-8") -> dict[str, Any]:
    return {"payload": dict(payload), "encoding": encoding}


def test_functions_take_what_they_ask_for() -> None:
    """A function takes the payload, or payload and sandbox in either order; its own defaults stay its own."""
    for handler, extra in ((both_ways, "sandbox"), (sandbox_first, "sandbox"), (own_default, "encoding")):
        ok, result = execute_tool_call(ToolRequest("look", {"n": 1}), REGISTRY, "box", {"look": handler})
        assert (ok, result["payload"]) == (True, {"n": 1})
        assert result[extra] == ("box" if extra == "sandbox" else "utf-8")


def test_returns_become_results() -> None:
    """A dict, a pair and a ``Computed`` are taken as they are; what is no dict stands under ``result``."""
    assert call(lambda _: {"x": 1}) == (True, {"x": 1, "cache_hit": False})
    assert call(lambda _: (False, {"x": 1})) == (False, {"x": 1, "cache_hit": False})
    assert call(lambda _: Computed([1, 2])) == (True, {"result": [1, 2], "cache_hit": False})
    assert call(lambda _: None) == (True, {"result": None, "cache_hit": False})


@pytest.mark.parametrize("value", [{}, {"result": None}, {"zero": 0}, {"text": ""}])
def test_empty_results_are_results(client: Any, value: dict[str, Any]) -> None:
    """What is falsy is cached like anything else."""
    runs: list[int] = []

    def tool(payload: Any) -> Any:
        runs.append(1)
        return value

    assert [call(tool, client)[1] for _ in range(2)] == [{**value, "cache_hit": False}, {**value, "cache_hit": True}]
    assert runs == [1]


def test_failures_are_never_kept(client: Any) -> None:
    """A failing tool runs each time; one that raises is told by its error's class, without the message."""
    runs: list[int] = []

    def fails(payload: Any) -> Any:
        runs.append(1)
        return False, {"code": "busy"}

    def raises(payload: Any) -> Any:
        runs.append(1)
        raise RuntimeError("the password is hunter2")

    assert [call(fails, client) for _ in range(2)] == [(False, {"code": "busy", "cache_hit": False})] * 2
    told = {"code": "tool_failed", "tool_name": "look", "error": "RuntimeError", "cache_hit": False}
    assert [call(raises, client) for _ in range(2)] == [(False, told)] * 2
    assert len(runs) == 4


def test_writing_tools_are_never_cached(client: Any) -> None:
    """Only READ_ONLY tools are answered from the cache."""
    assert [call(lambda _: {"n": 1}, client, "change")[1]["cache_hit"] for _ in range(2)] == [False, False]


@pytest.mark.parametrize("payload", [{"x": set}, {"x": float("nan")}, {"x": "\ud800"}, {"x": object()}])
def test_parameters_without_a_key_run_uncached(client: Any, payload: dict[str, Any]) -> None:
    """What cannot be keyed runs each time, and nothing breaks."""
    request, dispatch = ToolRequest("look", payload), {"look": lambda _: {}}

    results = [execute_tool_call(request, REGISTRY, None, dispatch, client) for _ in range(2)]
    assert results == [(True, {"cache_hit": False})] * 2


class Broken:
    """A client of an application's own that raises."""

    def get_json(self, key: str) -> Any:
        raise ConnectionError("down")

    def set_json(self, key: str, value: Any, ttl: float | None = None) -> bool:
        raise ConnectionError("down")


class Forgetful(Broken):
    """One that can read and not write."""

    def get_json(self, key: str) -> Any:
        return None


@pytest.mark.parametrize("client", [Broken(), Forgetful()])
def test_a_client_that_raises_costs_the_hit_only(client: Any) -> None:
    """The tool's result is given though the client's reading or writing raised."""
    assert [call(lambda _: {"n": 1}, client) for _ in range(2)] == [(True, {"n": 1, "cache_hit": False})] * 2


def test_a_dead_server_costs_the_hit_only() -> None:
    """Over a server that is not there each call gives the tool's own result."""
    with Cache.from_url("unix:///nonexistent/valkey.sock") as cache:
        assert [call(lambda _: {"n": 1}, cache) for _ in range(5)] == [(True, {"n": 1, "cache_hit": False})] * 5


def test_callers_at_once_share_one_run(glasscache_url: str) -> None:
    """16 threads, 1 run: the leader says that it was no hit, and nobody can change another's result."""
    start, runs = threading.Barrier(16), []

    def tool(payload: Any) -> Any:
        runs.append(1)
        return {"items": [1]}

    def ask(_: int) -> Any:
        start.wait()
        ok, result = call(tool, cache)
        result["items"].append(2)
        return ok, result["cache_hit"], len(result["items"])

    with Cache.from_url(glasscache_url) as cache, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(16)))

    assert len(runs) == 1
    assert sorted(answers) == [(True, False, 2)] + [(True, True, 2)] * 15


def test_callers_at_once_of_a_failing_tool_are_all_told(glasscache_url: str) -> None:
    """16 threads that share a flight of a failing tool: none of them takes the failure for a success."""
    start = threading.Barrier(16)

    def ask(_: int) -> Any:
        start.wait()
        return call(lambda _: (False, {"code": "busy"}), cache)

    with Cache.from_url(glasscache_url) as cache, ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(16))) == [(False, {"code": "busy", "cache_hit": False})] * 16


def test_a_refresh_in_the_background_leaves_the_answer_a_hit(glasscache_url: str) -> None:
    """A policy refreshes ahead with a tool that fails: whoever was answered from the cache has a success and a hit."""
    clock, refreshed = Ticking(), threading.Event()
    policy = replace(PolicyTable()["tool"], jitter=0, refresh_ahead=0.9)

    def good(payload: Any) -> Any:
        return {"n": 1}

    def bad(payload: Any) -> Any:
        refreshed.set()
        return False, {"code": "busy"}

    with Cache.from_url(glasscache_url, clock=clock, policies=[policy], read_deadline=2) as cache:
        call(good, cache)
        clock.tick(policy.ttl_s / 2)
        answers = [call(bad, cache)]
        assert refreshed.wait(10)
        answers.append(call(bad, cache))

    assert answers == [(True, {"n": 1, "cache_hit": True})] * 2


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Captured]:
    """What the process's own tracer records, for this test."""
    captured = capture()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", captured.tracer_provider)
    yield captured
    captured.tracer_provider.shutdown()


def test_the_span_names_the_tool_and_nothing_else(spans: Captured, glasscache_url: str) -> None:
    """GenAI's attributes, an error by its class; no argument, result or message anywhere in the trace."""

    def raises(payload: Any) -> Any:
        raise RuntimeError("canary-message")

    with Cache.from_url(glasscache_url, recorder=spans.recorder()) as cache:
        for _ in range(2):
            call(lambda _: {"x": "canary-result"}, cache, path="canary-argument")
        assert call(raises, cache, "look", other="canary-argument")[0] is False
    call(lambda _: {}, None, "unknown")

    said = spans.spans.as_dicts()
    assert "canary" not in repr(said)
    attributes = [span["attributes"] for span in said if span["name"] == "execute_tool look"]
    named = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look", "gen_ai.tool.type": "function"}
    assert attributes == [named, named, {**named, "error.type": "RuntimeError"}]
    assert [line for line in spans.tree() if not line.startswith("    ")] == [
        "execute_tool look", "  cache.get_or_compute tool",
    ] * 3  # fmt: skip


def test_the_twin_runs_both_kinds_of_functions(glasscache_url: str) -> None:
    """Over ``AsyncCache`` and the async client: a coroutine and a blocking function, hits, failures, writes."""

    async def awaits(payload: Any) -> Any:
        await asyncio.sleep(0)
        return {"n": 1}

    async def scenario(client: Any) -> None:
        for handler, name in ((awaits, "a"), (lambda _: {"n": 1}, "b")):
            answers = [await call_async(handler, client, who=name) for _ in range(2)]
            assert answers == [(True, {"n": 1, "cache_hit": False}), (True, {"n": 1, "cache_hit": True})]
        failed = [await call_async(lambda _: (False, {"code": "busy"}), client, who="c") for _ in range(2)]
        assert failed == [(False, {"code": "busy", "cache_hit": False})] * 2
        assert (await call_async(awaits, client, "change", who="d")) == (True, {"n": 1, "cache_hit": False})
        assert (await call_async(awaits, client, who=object()))[1]["cache_hit"] is False

    async def main() -> None:
        async with AsyncCache.from_url(glasscache_url) as cache:
            await scenario(cache)
        async with AsyncRedisCacheClient(glasscache_url) as client:
            await client.delete("never")
            await scenario(client)

    asyncio.run(main())


def test_a_coroutine_in_the_blocking_call_is_refused(client: Any) -> None:
    """A function that awaits is told as a failed tool, not returned as a coroutine that nobody awaits."""

    async def awaits(payload: Any) -> Any:
        return {}

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ok, result = call(awaits, client)
    assert (ok, result["code"], result["error"]) == (False, "tool_failed", "TypeError")
