"""The specification, line by line: names, calls, JSON and promises, as a program written against it uses them."""

from __future__ import annotations

import json
import subprocess
import sys
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cache.key_generator import (
    generate_context_key,
    generate_embedding_key,
    generate_prompt_key,
    generate_tool_key,
    hash_dict,
)
from cache.metrics import CacheMetrics, get_metrics
from cache.redis_client import RedisCacheClient
from cache.settings import Settings
from cache.workflow.context_builder_node import ContextBuilderNode
from cache.workflow.tool_executor import execute_tool_call

ROOT = Path(__file__).resolve().parent.parent


class PermissionTier(Enum):
    """A tier of the application's own, as the specification's code has it."""

    READ_ONLY = 0
    WRITE = 1


class Registry:
    """The application's registry."""

    def get(self, name: str) -> Any:
        tiers = {"read_file": PermissionTier.READ_ONLY, "write_file": PermissionTier.WRITE}
        return SimpleNamespace(permission_tier=tiers[name]) if name in tiers else None


def test_keys_have_the_given_patterns() -> None:
    """``context:{task_id}:{turn}``, ``embed:{16 hex}``, ``tool:{name}:{16 hex}``, ``prompt:{hash}``."""
    assert generate_context_key("task-abc123", 5) == "context:task-abc123:5"
    assert generate_embedding_key("hello") == "embed:2cf24dba5fb0a30e"
    one = generate_tool_key("read_file", {"path": "a", "encoding": "utf-8"})
    assert one == generate_tool_key("read_file", {"encoding": "utf-8", "path": "a"})
    assert one.startswith("tool:read_file:")
    assert len(one.rpartition(":")[2]) == len(hash_dict({"a": 1})) == 16
    assert generate_prompt_key("0123456789abcdef") == "prompt:0123456789abcdef"


def test_ttls_and_settings_have_the_given_defaults() -> None:
    """1 h, 24 h, 30 min, 1 h; every variable by its name."""
    settings = Settings.load(None)

    assert settings.enabled is True
    assert settings.redis_url.get_secret_value() == "redis://redis:6379/0"
    assert settings.default_ttl == 3600
    assert settings.category_ttls() == {"context": 3600, "embedding": 86_400, "tool": 1800, "prompt": 3600}


def test_metrics_have_the_given_names() -> None:
    """Integers, mappings, ``record_*``, rates, ``summary`` with every field of the JSON and its type, ``reset``."""
    metrics = CacheMetrics()
    for _ in range(3):
        metrics.record_hit("context")
    metrics.record_miss("context")
    metrics.record_miss()
    metrics.record_set()
    metrics.record_delete()
    metrics.record_error()

    assert (metrics.hits, metrics.misses, metrics.sets, metrics.deletes, metrics.errors) == (3, 2, 1, 1, 1)
    assert dict(metrics.category_hits) == {"context": 3}
    assert dict(metrics.category_misses) == {"context": 1, "general": 1}
    assert metrics.hit_rate() == 0.6
    assert metrics.category_hit_rate("context") == 0.75
    assert metrics.category_hit_rate("prompt") == 0.0
    summary = json.loads(json.dumps(metrics.summary()))
    given = {
        name: summary[name] for name in ("total_requests", "hits", "misses", "hit_rate", "sets", "deletes", "errors")
    }
    assert given == {
        "total_requests": 5, "hits": 3, "misses": 2, "hit_rate": "60.00%", "sets": 1, "deletes": 1, "errors": 1,
    }  # fmt: skip
    context = summary["categories"]["context"]
    assert {name: context[name] for name in ("hits", "misses", "hit_rate")} == {
        "hits": 3, "misses": 1, "hit_rate": "75.00%",
    }  # fmt: skip
    metrics.reset()
    assert (metrics.hits, metrics.hit_rate(), metrics.summary()["total_requests"]) == (0, 0.0, 0)
    assert get_metrics() is get_metrics()


def test_the_context_node(glasscache_url: str) -> None:
    """A miss builds and stores, a hit fills the messages; a new message drops them; no task_id, no cache."""
    built: list[int] = []

    def build(context: Any) -> list[Any]:
        built.append(1)
        return [{"role": "user", "content": "hi"}]

    with RedisCacheClient(glasscache_url) as client:
        node = ContextBuilderNode(client, build)
        first = node.execute({"task_id": "t1", "turn": 2})
        second = node.execute({"task_id": "t1", "turn": 2})
        assert (first["cache_hit"], second["cache_hit"], len(built)) == (False, True, 1)
        assert first["messages"] == second["messages"]
        assert client.get_json("context:t1:2") == {"messages": first["messages"]}
        assert client.invalidate_pattern("context:t1:*") == 1
        assert node.execute({"task_id": "t1", "turn": 2})["cache_hit"] is False
        assert node.execute({"task_id": "t2"})["cache_hit"] is False
        assert client.get_json("context:t2:0") is not None
        assert node.execute({"turn": 1})["cache_hit"] is False
        assert ContextBuilderNode(None, build).execute({"task_id": "t1", "turn": 2})["cache_hit"] is False


def test_the_tool_call(glasscache_url: str) -> None:
    """Only READ_ONLY tools and only their successes are cached; ``cache_hit`` says which it was."""
    calls: list[str] = []

    def handler(name: str) -> Any:
        def run(payload: Any) -> Any:
            calls.append(name)
            return (False, {"code": "failed"}) if payload.get("fail") else (True, {"content": "x"})

        return run

    dispatch = {"read_file": handler("read_file"), "write_file": handler("write_file")}

    def call(name: str, client: Any, caching: bool = True, **payload: Any) -> Any:
        request = SimpleNamespace(tool_name=name, payload=payload)
        return execute_tool_call(request, Registry(), None, dispatch, cache_client=client, enable_caching=caching)

    with RedisCacheClient(glasscache_url) as client:
        assert call("read_file", client, path="a") == (True, {"content": "x", "cache_hit": False})
        assert call("read_file", client, path="a") == (True, {"content": "x", "cache_hit": True})
        assert call("read_file", client, caching=False, path="a")[1]["cache_hit"] is False
        assert call("read_file", client, path="b", fail=True)[0] is False
        assert call("read_file", client, path="b", fail=True)[1]["cache_hit"] is False
        assert [call("write_file", client, path="a")[1]["cache_hit"] for _ in range(2)] == [False, False]
        ok, result = call("no_such_tool", client)
        assert (ok, result["code"], result["tool_name"]) == (False, "tool_not_found", "no_such_tool")
        assert calls == ["read_file"] * 4 + ["write_file"] * 2


LINES = """
from cache.redis_client import create_default_redis_client
from cache.key_generator import generate_context_key
from cache.metrics import get_metrics
import json
client = create_default_redis_client()
key = generate_context_key('test-task', 1)
client.set_json(key, {'messages': ['hi']})
print(json.dumps([client.get_json(key), client.health_check(), get_metrics().summary()]))
"""


def test_the_readers_lines(glasscache_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few lines in ``python -c`` make the default client, store and read JSON, and print health and metrics."""
    monkeypatch.setenv("REDIS_URL", glasscache_url)
    done = subprocess.run([sys.executable, "-c", LINES], cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    value, health, summary = json.loads(done.stdout)
    assert value == {"messages": ["hi"]}
    assert health["connected"] is True
    assert (summary["hits"], summary["sets"], summary["errors"]) == (1, 1, 0)
    assert summary["categories"]["context"]["hit_rate"] == "100.00%"


def test_the_readers_files_exist() -> None:
    """The specification's own test files are there by their names."""
    names = ("test_redis_client.py", "test_key_generator.py", "test_cache_metrics.py")

    assert [name for name in names if not (ROOT / "tests" / "unit" / name).is_file()] == []
