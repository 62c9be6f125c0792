"""The cache with a category in the local tier; run by itself, it hits between two marks in a trace of system calls."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.cases import TTL_S, Case, case
from benchmarks.contenders import Contender, Job

CATEGORY = "bench_local"

CALLS = 10_000
"""Hits between the two marks."""

MARKS = ("mark-begin", "mark-end")


def there() -> bool:
    """True when this version has a local tier."""
    from cache import Policy, Settings
    from cache.errors import CacheError
    from telemetry.vocabulary import Tier

    if "local_max_bytes" not in Settings.model_fields:
        return False
    with contextlib.suppress(CacheError):
        Policy(name=CATEGORY, tier=Tier.LOCAL)
        return True
    return False


def opened(url: str, value: Case, **settings: Any) -> tuple[Any, Callable[[], Any], Callable[[], Any]]:
    """A cache with a local category: itself, one hit, and one call of a decorated function that hits."""
    from cache import Cache, Policy
    from telemetry.vocabulary import Tier

    cache = Cache.from_url(url, policies=[Policy(name=CATEGORY, tier=Tier.LOCAL)], **settings)

    @cache.cached(CATEGORY, ttl=TTL_S)
    def decorated(_: int) -> Any:
        return value.value

    cache.set(CATEGORY, "key", value.value, ttl=TTL_S)
    return cache, lambda: cache.get(CATEGORY, "key"), lambda: decorated(7)


def hit(url: str, value: Case) -> Job:
    """``get``."""
    return Job(opened(url, value)[1], value.same)


def cached(url: str, value: Case) -> Job:
    """A function under ``@cache.cached``."""
    return Job(opened(url, value)[2], value.same)


LOCAL = Contender("glasscache-local", "glasscache, local tier", {"hit": hit, "cached": cached}, setup="ours")


def main(url: str) -> None:
    """Hit between two marks: a look for a file that is not there stands in the trace by its name."""
    cache, call, _ = opened(url, case("json200"))
    for _ in range(100):
        call()
    Path(f"/{MARKS[0]}").exists()
    for _ in range(CALLS):
        call()
    Path(f"/{MARKS[1]}").exists()
    print(json.dumps({"thread": threading.get_native_id()}), flush=True)
    cache.close()


if __name__ == "__main__":
    main(sys.argv[1])
