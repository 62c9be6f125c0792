"""Sentinels that ask for a password of their own: given in the URL or a file, and never shown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.cluster import until
from support.sentinels import Guarded

from cache import MISS, AsyncCache, Cache
from cache.doctor import examine
from cache.stores.urls import parse
from telemetry import redis as instrumentation
from telemetry.testing import Captured

PATIENCE = {"read_deadline": 2, "write_deadline": 2}
SECRET, WRONG = "canary-of-the-sentinels", "canary-that-is-wrong"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    """A primary without a password, behind sentinels with one."""
    with Guarded(replicas=1, password=SECRET) as made:
        yield made


def works(kind: Any, url: str, **settings: Any) -> bool:
    """Whether a value comes back."""
    if kind is Cache:
        with Cache.from_url(url, **PATIENCE, **settings) as cache:
            return cache.set("prompt", "k", 1) and cache.get("prompt", "k") == 1

    async def play() -> bool:
        async with AsyncCache.from_url(url, **PATIENCE, **settings) as cache:
            return await cache.set("prompt", "k", 1) and await cache.get("prompt", "k") == 1

    return asyncio.run(play())


KINDS = pytest.mark.parametrize("kind", [Cache, AsyncCache], ids=["sync", "async"])


@KINDS
def test_the_password_is_given_in_the_url(kind: Any, guarded: Guarded) -> None:
    """As an option, with the user's name or without; the servers behind are asked without it."""
    assert works(kind, f"{guarded.url}?sentinel_password={SECRET}")
    assert works(kind, f"{guarded.url}?sentinel_username=default&sentinel_password={SECRET}")
    assert not works(kind, guarded.url)
    assert not works(kind, guarded.url.replace("://", f"://:{SECRET}@"))


@KINDS
def test_the_password_is_given_in_a_file(kind: Any, guarded: Guarded, tmp_path: Path) -> None:
    """Which wins, and is read anew: what is put right while the program runs is taken up."""
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    assert works(kind, f"{guarded.url}?sentinel_password={WRONG}", sentinel_password_file=str(file))
    file.write_text(WRONG)
    with Cache.from_url(guarded.url, sentinel_password_file=str(file), **PATIENCE) as cache:
        assert cache.get("prompt", "k") is MISS
        file.write_text(SECRET)
        until(lambda: cache.set("prompt", "k", 2), "the sentinels are asked with the right one")


def test_the_password_is_nowhere_to_be_seen(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Right or wrong: not in representations, logs, spans, health, the doctor's findings."""
    caplog.set_level(logging.DEBUG)
    kept, said = Captured(), []
    instrumentation.instrument(kept.tracer_provider)
    try:
        for password in (SECRET, WRONG):
            url = f"{guarded.url}?sentinel_username=default&sentinel_password={password}"
            with Cache.from_url(url, recorder=kept.recorder(), **PATIENCE) as cache:
                assert cache.set("prompt", "k", 1) is (password is SECRET)
                found = cache.lookup("prompt", "k")
                said += [repr(cache), repr(cache.health()), repr(found), repr(cache.explain("prompt", "k"))]
                store: Any = cache._parts.runner.store
                said += [repr(parse(url)), repr(vars(store)), repr(vars(store._sentinels))]
            monkeypatch.setenv("REDIS_URL", url)
            findings = examine({})
            said.append(repr(findings))
            assert ("connection" in [one.what for one in findings if one.level == "fail"]) is (password is WRONG)
    finally:
        instrumentation.uninstrument()
    said += [repr((span.name, span.attributes, span.events, span.status.description)) for span in kept.spans()]
    said += [record.getMessage() for record in caplog.records]
    assert len(kept.spans()) > 4
    assert [text for text in said if "canary" in text] == []
