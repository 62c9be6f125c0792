"""What is loaded when: the names of the cache cost little, drivers and settings come with the first cache opened."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import cache

ROOT = Path(__file__).resolve().parent.parent

OPERATIONS = """
import asyncio
from cache import MISS, AsyncCache, Cache, Policy
from telemetry.vocabulary import Tier

near = [Policy(name="near", tier=Tier.LOCAL)]
values = {"a": {"x": 1}, "b": b"bytes", "c": "long" * 5000}
with Cache.embedded(policies=near, read_deadline=2, write_deadline=2) as cache:
    opened = set(sys.modules)
    for category in ("static", "near"):
        assert cache.set_many(category, values) == 3
        assert cache.get_many(category, list(values)) == list(values.values())
        assert cache.get_or_compute(category, "d", lambda: 4, tags=["t"]) == 4
        assert cache.cached(category)(abs)(-5) == 5
        assert cache.invalidate(tags=["t"]) == 1
        assert cache.delete(category, "a") and cache.get(category, "a") is MISS
        cache.explain(category, "b")
    assert cache.health()["connected"]
    print(json.dumps(sorted(set(sys.modules) - opened)))

async def main():
    async with AsyncCache.embedded(policies=near, read_deadline=2, write_deadline=2) as cache:
        opened = set(sys.modules)
        for category in ("static", "near"):
            assert await cache.set_many(category, values) == 3
            assert await cache.get_many(category, list(values)) == list(values.values())
            assert await cache.get_or_compute(category, "d", lambda: 4, tags=["t"]) == 4
            assert await cache.cached(category)(abs)(-5) == 5
            assert await cache.invalidate(tags=["t"]) == 1
            assert await cache.delete(category, "a") and await cache.get(category, "a") is MISS
            await cache.explain(category, "b")
        assert (await cache.health())["connected"]
        print(json.dumps(sorted(set(sys.modules) - opened)))

asyncio.run(main())
"""


def fresh(program: str) -> list[list[str]]:
    """The JSON lines that a program prints in a fresh interpreter."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("CACHE_", "REDIS_", "OTEL_"))}
    command = [sys.executable, "-W", "error", "-c", f"import json, sys\n{program}"]
    done = subprocess.run(command, cwd=ROOT, env=kept, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def loaded(statement: str) -> set[str]:
    """The modules that a statement loads in a fresh interpreter."""
    program = f"before = set(sys.modules)\n{statement}\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    return set(fresh(program)[0])


def outside(modules: set[str]) -> set[str]:
    """The packages among modules, those of Python itself aside."""
    return {name.partition(".")[0] for name in modules} - sys.stdlib_module_names


def told_to_checkers() -> dict[str, str]:
    """Name and module of each import that only type checkers see."""
    tree = ast.parse((ROOT / "cache" / "__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    return {
        name.name: str(node.module) for node in block.body if isinstance(node, ast.ImportFrom) for name in node.names
    }


def test_importing_the_cache_loads_nothing_but_itself() -> None:
    """``import cache`` loads one module of ours and none of anybody else's, nor asyncio."""
    modules = loaded("import cache")
    assert {name for name in modules if name.partition(".")[0] not in sys.stdlib_module_names} == {"cache"}
    assert "asyncio" not in modules


def test_the_names_load_no_driver_no_settings_and_no_telemetry_library() -> None:
    """Every public name but ``Settings`` can be had without redis-py, pydantic or anything of OpenTelemetry."""
    names = [name for name in cache.__all__ if name != "Settings"]
    modules = loaded(f"from cache import {', '.join(names)}")
    assert outside(modules) == {"cache", "telemetry", "orjson", "zstandard"}
    assert "asyncio" not in modules


def test_opening_a_cache_loads_what_it_needs() -> None:
    """The packages that were left out above come with the first cache, before its first operation."""
    modules = loaded("from cache import Cache\nCache.from_url('redis://127.0.0.1:1')")
    assert {"redis", "hiredis", "pydantic_settings", "opentelemetry"} <= outside(modules)


def test_no_operation_has_to_load_anything() -> None:
    """What an open cache does at its first calls was all loaded when it was opened."""
    blocking, awaiting = fresh(OPERATIONS)
    assert (blocking, awaiting) == ([], [])


def test_names_are_where_type_checkers_think() -> None:
    """Each name comes from the module that type checkers are told, and ``__all__`` knows them all."""
    told = told_to_checkers()
    assert sorted(told) == sorted(cache.__all__)
    program = "\n".join(
        f"import cache, {module} as home\nassert cache.{name} is home.{name}" for name, module in told.items()
    )
    assert fresh(program) == []


def test_names_are_shown_before_they_are_loaded() -> None:
    """``dir`` and ``import *`` know the names from the start."""
    program = "import cache\nprint(json.dumps(dir(cache)))\nfrom cache import *\nprint(json.dumps(sorted(globals())))"
    shown, starred = fresh(program)
    assert set(cache.__all__) <= set(shown)
    assert set(cache.__all__) <= set(starred)


def test_a_name_is_looked_for_once() -> None:
    """A name that was asked for is an attribute like any other."""
    (found,) = fresh("import cache\ncache.MISS\nprint(json.dumps(sorted(vars(cache))))")
    assert "MISS" in found and "Cache" not in found


def test_a_wrong_name_is_an_error() -> None:
    """A name that is not there says so, as of any module; a module of ours can be imported by name all the same."""
    with pytest.raises(AttributeError, match="no attribute 'Cash'"):
        cache.Cash  # noqa: B018
    assert fresh("from cache import errors\nprint(json.dumps([errors.__name__]))") == [["cache.errors"]]
