"""What the write script leaves behind on a real server: lives, bits, and what it refuses."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
import redis
from support.faces import Stage

from cache import Cache
from cache.core.generations import CategoryRecord
from cache.core.policies import Policy
from cache.core.seen import HEADER, bits_of, block_of

SHORT = Policy(name="short", ttl_s=900, stale_window_s=5400)
LONG = Policy(name="long", ttl_s=5400, stale_window_s=7200)


class Ageing:
    """A server whose keys grow older by command, together with the clock of the caches on it."""

    def __init__(self, url: str) -> None:
        self.stage = Stage("sync", url, (SHORT, LONG))
        self.cache: Cache = self.stage.cache.cache
        self.server: redis.Redis = redis.Redis.from_url(url)
        self.shortened = 0

    def another(self) -> Cache:
        """Another process's cache."""
        made: Cache = self.stage.another((SHORT, LONG)).cache
        return made

    def age(self, seconds: float) -> None:
        """Let time pass: each key's life is that much shorter, and what is over is gone."""
        self.stage.clock.tick(seconds)
        lives = self.lives(b"*")
        for name, left in lives.items():
            self.server.pexpire(name, left - int(seconds * 1000))
        self.shortened += len(lives)

    def lives(self, pattern: bytes) -> dict[bytes, int]:
        """Milliseconds that each key lives on."""
        return {name: self.server.pttl(name) for name in self.server.scan_iter(pattern)}

    def shortest(self, pattern: bytes) -> int:
        """The shortest life."""
        return min(self.lives(pattern).values())


@pytest.fixture
def ageing(glasscache_url: str) -> Iterator[Ageing]:
    made = Ageing(glasscache_url)
    yield made
    made.cache.close()
    made.server.close()


def test_generations_outlive_every_entry(ageing: Ageing) -> None:
    """Days of writes of two processes under shared tags, at any distance and of any TTL: each time the generations
    and the block live longer than the entry with its stale window."""
    draw = random.Random(11)
    caches, engine = [ageing.cache, ageing.another()], ageing.cache._engine
    passed = 0.0
    for n in range(300):
        cache, category = draw.choice(caches), draw.choice(["short", "long", "static"])
        key, tags = f"k{n % 7}", draw.choice([(), ("a",), ("a", "b"), ("b", "a")])
        assert cache.set(category, key, n, ttl=draw.choice([None, 1.0, 60.0, 40_000.0]), tags=tags)
        address = engine.want(engine.policies[category], key).address
        guards = [f"seen:{category}:{block_of(address.digest):02x}", f"gen:category:{category}"]
        guards += [f"gen:tag:{tag}" for tag in tags]
        entry = ageing.server.pttl(address.name)
        assert 0 < entry <= min(map(ageing.server.pttl, guards)), n
        seconds = draw.expovariate(1 / 2000)
        ageing.age(seconds)
        passed += seconds
    caches[1].close()
    assert passed > 5 * 86_400


def test_lives_are_renewed_now_and_then_only(ageing: Ageing) -> None:
    """A hundred writes in half an hour ask for the rest of a life once; the commands say so."""
    for n in range(3):
        ageing.cache.set("short", "k", n, tags=["a"])
    ageing.server.config_resetstat()
    ageing.shortened = 0
    for n in range(100):
        ageing.age(18)
        assert ageing.cache.set("short", "k", n, tags=["a"])
    calls = {name: found["calls"] for name, found in ageing.server.info("commandstats").items()}
    renewals = calls["cmdstat_pexpire"] - ageing.shortened
    assert calls["cmdstat_evalsha"] == calls["cmdstat_set"] == 100
    assert 0 <= renewals <= 3
    assert "cmdstat_setbit" not in calls and "cmdstat_get" not in calls


def test_a_generation_that_came_anew_with_a_shorter_life_is_renewed(ageing: Ageing) -> None:
    """What this process remembers is of one token: under another one it looks again."""
    assert ageing.cache.set("short", "k", 1, tags=["a"])
    ageing.server.set("gen:tag:a", b"n" * 16, px=30_000)
    assert ageing.cache.set("short", "k", 2, tags=["a"])
    assert ageing.cache.lookup("short", "k", tags=["a"]).value == 2
    assert ageing.shortest(b"gen:tag:a") >= ageing.shortest(b"short:*")


def test_each_write_sets_its_bits_once(ageing: Ageing) -> None:
    """The block of a key holds its four bits after its first write, as Python counts them, and stays as it is."""
    engine = ageing.cache._engine
    expected: dict[int, set[int]] = {}
    for n in range(60):
        key = f"k{n}"
        (ageing.cache.set("short", key, n) if n % 2 else ageing.cache.set_many("short", {key: n, "again": n}))
        for name in (key, "again"):
            digest = engine.want(engine.policies["short"], name).address.digest
            expected.setdefault(block_of(digest), set()).update(bits_of(digest))
    record = CategoryRecord.parse(ageing.server.get("gen:category:short"), b"")
    assert record is not None
    begun = {n for n in range(256) if record.begun[n >> 3] & (0x80 >> (n & 7))}
    assert begun == expected.keys()
    for number, bits in expected.items():
        raw = ageing.server.get(f"seen:short:{number:02x}")
        assert isinstance(raw, bytes) and raw[:HEADER] == b"C" + record.birth
        assert {n for n in range(512) if raw[HEADER + (n >> 3)] & (0x80 >> (n & 7))} == bits
    ageing.server.config_resetstat()
    ageing.cache.set("short", "k0", 0)
    assert "cmdstat_bitfield" not in ageing.server.info("commandstats")


def test_a_block_that_was_lost_or_cut_is_begun_again_as_partial(ageing: Ageing) -> None:
    """What it held is not known any more: it proves nothing from then on."""
    engine = ageing.cache._engine
    number = block_of(engine.want(engine.policies["short"], "k").address.digest)
    ageing.cache.set("short", "k", 1)
    for spoil in (
        ageing.server.delete,
        lambda name: ageing.server.lpush(name, "x") if ageing.server.delete(name) else 0,
    ):
        spoil(f"seen:short:{number:02x}")
        assert ageing.cache.set("short", "k", 2)
        assert (ageing.server.get(f"seen:short:{number:02x}") or b"")[:1] == b"P"
    ageing.server.setrange(f"seen:short:{number:02x}", 73, "longer")
    assert ageing.cache.set("short", "k", 3)
    assert ageing.cache.get("short", "k") == 3


@pytest.mark.parametrize("value", ["small", "x" * 40_000])
def test_a_delete_refuses_what_began_before_it(ageing: Ageing, value: str) -> None:
    """Whether the script reads the old entry with all the rest, or, for a large one, by itself."""
    for old in (None, "old"):
        if old is not None:
            assert ageing.cache.set("static", "k", old)
        fence = ageing.cache.lookup("static", "k").fence
        assert ageing.cache.set("static", "k", value, fence=fence)
        ageing.cache.delete("static", "k")
        assert not ageing.cache.set("static", "k", value, fence=fence)
        assert not ageing.cache.get("static", "k")


def test_a_tombstone_of_another_version_guards_its_key_too(ageing: Ageing) -> None:
    """While processes of two versions run side by side, a delete of either refuses what began before it."""
    name = ageing.cache._engine.want(ageing.cache._engine.policies["static"], "k").address.name
    fence = ageing.cache.lookup("static", "k").fence
    ageing.server.set(name, b"\xffg\x01\x01" + b"t" * 16)
    assert not ageing.cache.set("static", "k", 1, fence=fence)
    found = ageing.cache.lookup("static", "k")
    assert found.miss_reason == "version"
    assert ageing.cache.set("static", "k", 2, fence=found.fence)
    assert ageing.cache.get("static", "k") == 2


def test_more_generations_than_one_command_takes(ageing: Ageing) -> None:
    """A batch of many keys with tags of their own compares all of them: one that changed refuses its keys alone."""
    policy = Policy(name="many", tags=lambda key: tuple(f"{key}:{n}" for n in range(20)))
    with Cache.from_url(ageing.stage.url, policies=(policy,), write_deadline=2, read_deadline=2) as many:
        keys = [f"k{n}" for n in range(120)]
        assert many.set_many("many", dict.fromkeys(keys, 1)) == 120
        assert many.get_many("many", keys) == [1] * 120
        assert ageing.cache.invalidate(tags=["k7:3"]) == 1
        assert many.get_many("many", keys).count(1) == 119
