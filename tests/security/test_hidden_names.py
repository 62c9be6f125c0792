"""Hashed names: what the server's own eyes (MONITOR, SLOWLOG, the key space) see of keys, and what patterns can do."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from cache import MISS, Cache, RedisCacheClient
from cache.core.hiding import Hidden
from cache.errors import PatternError
from cache.testing import EmbeddedServer

WORD = "canary"
PATIENT = {"read_deadline": 2, "write_deadline": 2}


class Watcher:
    """MONITOR on a connection of its own: every command that the server is sent."""

    def __init__(self, path: str) -> None:
        self.seen: list[str] = []
        self._client = redis.Redis(unix_socket_path=path)
        self._monitor = self._client.monitor()
        self._monitor.__enter__()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        for command in self._monitor.listen():
            self.seen.append(command["command"])
            if "end of watch" in command["command"]:
                return

    def end(self) -> str:
        with redis.Redis(connection_pool=self._client.connection_pool) as client:
            client.echo("end of watch")
        self._thread.join(10)
        self._monitor.__exit__(None, None, None)
        self._client.close()
        return "\n".join(self.seen)


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    """A server whose every command is slow enough for SLOWLOG."""
    with EmbeddedServer(options=("--slowlog-log-slower-than", "0", "--slowlog-max-len", "10000")) as running:
        yield running


def everything(cache: Cache) -> None:
    """Every operation, with the word in each part of a key and in each tag, and in no value."""
    for category, key in (
        ("context", (WORD, 1)), ("tool", (WORD, {"path": WORD})), ("prompt", WORD), ("embedding", WORD),
        ("static", [WORD]),
    ):  # fmt: skip
        value = [1.0, 2.0] if category == "embedding" else "value"
        cache.get_or_compute(category, key, lambda value=value: value, tags=[f"file:/{WORD}", WORD])
        cache.get_many(category, [key, key])
        cache.set(category, key, value, tags=[WORD])
        cache.lookup(category, key, tags=[WORD])
        cache.explain(category, key)
        cache.delete(category, key)
        cache.set(category, key, value)
    cache.invalidate(tags=[WORD, f"task:{WORD}"])
    for pattern in (f"context:{WORD}:*", f"tool:{WORD}:*", f"prompt:{WORD}", "prompt:*"):
        cache.invalidate(pattern=pattern)


@pytest.mark.parametrize("settings", [{"hashed_keys": True}, {"key_secret": "pepper"}], ids=["plain", "keyed"])
def test_the_servers_own_eyes_see_no_part_of_a_key(settings: dict[str, object], server: EmbeddedServer) -> None:
    """MONITOR, SLOWLOG and the key space hold the word nowhere; without the setting all three do."""
    with redis.Redis(unix_socket_path=server.socket) as admin:
        for given, seen in (({}, True), (settings, False)):
            admin.flushall()
            admin.slowlog_reset()
            watcher = Watcher(server.socket)
            with Cache.from_url(server.url, fleet=False, **PATIENT, **given) as cache:
                everything(cache)
                cache.scoped(WORD if seen else "tenant").set("prompt", WORD, "value")
            monitored = watcher.end()
            assert "EVALSHA" in monitored
            assert (WORD in monitored) is seen
            assert (WORD in repr(admin.slowlog_get(10_000))) is seen
            assert (WORD in repr(admin.keys())) is seen


def test_patterns_of_whole_parts_go_on_working(glasscache_url: str) -> None:
    """A task's, a tool's, a category's keys and single ones; a part of a part is refused by name before any I/O."""
    with Cache.from_url(glasscache_url, hashed_keys=True, namespace="team", **PATIENT) as cache:
        for task in ("t1", "t2", "t:1", "é"):
            for turn in (1, 2):
                cache.set("context", (task, turn), task)
        cache.set("tool", ("read_file", {"a": 1}), "x")
        assert cache.invalidate(pattern="context:t1:*", dry_run=True) == 2
        assert cache.invalidate(pattern="context:t1:*") == 2
        assert cache.invalidate(pattern="context:t%3A1:2") == 1
        assert cache.invalidate(pattern="context:*:1") == 3
        assert cache.invalidate(pattern="tool:read_file:*") == 1
        assert cache.get("context", ("t2", 2)) == "t2"
        assert cache.invalidate(pattern="context:*") == 2
        for pattern in ("context:t*", "context:t?:1", "tool:read*:*", "prompt:[ab]", "context:*1:*", "prompt:a\\*"):
            with pytest.raises(PatternError, match="hashed"):
                cache.invalidate(pattern=pattern)


def test_hidden_and_readable_names_do_not_meet(glasscache_url: str) -> None:
    """Caches with other settings share nothing: another secret, none, or readable names."""
    kinds = ({}, {"hashed_keys": True}, {"key_secret": "a"}, {"key_secret": "b"})
    caches = [Cache.from_url(glasscache_url, **PATIENT, **kind) for kind in kinds]
    for n, cache in enumerate(caches):
        assert cache.get("prompt", "k") is MISS
        cache.set("prompt", "k", n)
    assert [cache.get("prompt", "k") for cache in caches] == [0, 1, 2, 3]
    caches[1].delete("prompt", "k")
    assert [cache.get("prompt", "k") for cache in caches] == [0, MISS, 2, 3]
    for cache in caches:
        cache.close()


def test_the_plain_clients_keys_stay_as_they_are(glasscache_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What other programs read under a key is never hashed; its pattern still drops what the layer keeps hidden."""
    monkeypatch.setenv("CACHE_HASHED_KEYS", "true")
    with RedisCacheClient(glasscache_url) as client, Cache.from_url(glasscache_url, **PATIENT) as cache:
        client.set("context:t1:1", "text")
        cache.set("context", ("t1", 1), "entry")
        with redis.Redis.from_url(glasscache_url) as server:
            assert server.get("context:t1:1") == b"text"
        assert client.invalidate_pattern("context:t1:*") == 1
        assert cache.get("context", ("t1", 1)) is MISS


@given(st.text(min_size=1), st.text(min_size=1), st.binary(max_size=8), st.binary(max_size=8))
def test_digests_are_equal_for_equal_parts_alone(one: str, other: str, secret: bytes, further: bytes) -> None:
    """The same part, secret and namespace give the same digest; a change of any of them another one."""
    try:
        one.encode(), other.encode()
    except UnicodeEncodeError:
        return
    names = Hidden(secret, "ns")
    assert (names.part(one) == names.part(other)) is (one == other)
    assert (names.part(one) == Hidden(further, "ns").part(one)) is (secret == further)
    assert names.part(one) != names.within("ns:@t").part(one)
