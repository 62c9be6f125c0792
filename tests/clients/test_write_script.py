"""What the write script leaves behind on a real server: lives, bits, and what it refuses."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest
import redis
from support.faces import Stage

from cache import Cache
from cache.core import seen
from cache.core.generations import CategoryRecord
from cache.core.policies import Policy
from cache.core.seen import HEADER, SLOT, SLOTS, block_of

SHORT = Policy(name="short", ttl_s=900, stale_window_s=5400)
LONG = Policy(name="long", ttl_s=5400, stale_window_s=7200)


class Ageing:
    """A server whose keys grow older by command, together with the clock of the caches on it."""

    def __init__(self, url: str) -> None:
        self.stage = Stage("sync", url, (SHORT, LONG))
        self.cache: Cache = self.stage.cache.cache
        self.server: redis.Redis = redis.Redis.from_url(url)
        self.clock = self.stage.clock
        self.shortened = 0

    def block(self, number: int) -> bytes:
        """A block of the table of what was seen, of the category ``short``."""
        raw = self.server.get(f"seen:short:{number:02x}")
        assert isinstance(raw, bytes)
        return raw

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


def test_each_key_has_one_slot(ageing: Ageing) -> None:
    """A block holds a slot for each of its keys, as Python packs it, whatever is written how often and how."""
    engine = ageing.cache._engine
    expected: dict[int, dict[bytes, bytes]] = {}
    for n in range(60):
        key = f"k{n}"
        ageing.clock.tick(1)
        (ageing.cache.set("short", key, n) if n % 2 else ageing.cache.set_many("short", {key: n, "again": n}))
        for name in (key,) if n % 2 else (key, "again"):
            want = engine.want(engine.policies["short"], name)
            found = ageing.cache.lookup("short", name)
            expires = ageing.clock.time() + (found.ttl or 0)
            slot = seen.slot(want.address.digest, want.scopes, [found.fence.scopes[0][1]], expires)
            expected.setdefault(block_of(want.address.digest), {})[want.address.digest] = slot
    record = CategoryRecord.parse(ageing.server.get("gen:category:short"), b"")
    assert record is not None
    assert {n for n in range(seen.BLOCKS) if seen.begun(record, n)} == expected.keys()
    for number, slots in expected.items():
        raw = ageing.block(number)
        assert raw[:HEADER] == bytes(4) + record.birth
        assert sorted(raw[at : at + SLOT] for at in range(HEADER, len(raw), SLOT)) == sorted(slots.values())


def of_one_block(ageing: Ageing, number: int) -> Iterator[str]:
    """Keys that fall into one block."""
    engine = ageing.cache._engine
    keys = (f"n{n}" for n in itertools.count())
    return (key for key in keys if block_of(engine.want(engine.policies["short"], key).address.digest) == number)


def test_a_full_block_forgets_what_is_over_first(ageing: Ageing) -> None:
    """Its size is bounded: in it what expired makes room, then of a few what expires first, which puts it in doubt."""
    keys = of_one_block(ageing, 7)
    never = next(keys)
    for n, key in enumerate(itertools.islice(keys, SLOTS)):
        # every other one is over soon, so that there is one among any eight neighbours
        assert ageing.cache.set("short", key, 1, ttl=900 if n % 2 else 10)
    ageing.clock.tick(20)
    full = HEADER + SLOTS * SLOT
    for key in itertools.islice(keys, 8):
        assert ageing.cache.set("short", key, 1, ttl=900)
        assert len(ageing.block(7)) == full
    assert ageing.cache.lookup("short", never).miss_reason == "cold"
    for key in itertools.islice(keys, SLOTS):
        assert ageing.cache.set("short", key, 1, ttl=900)
    assert len(ageing.block(7)) == full
    assert ageing.cache.lookup("short", never).miss_reason == "unknown"
    ageing.clock.tick(901)
    assert ageing.cache.lookup("short", never).miss_reason == "cold"


def test_a_block_that_was_lost_or_damaged_is_begun_again_in_doubt(ageing: Ageing) -> None:
    """What it held is not known any more: until all of that has expired it proves nothing."""
    engine = ageing.cache._engine
    number = block_of(engine.want(engine.policies["short"], "k").address.digest)
    other = next(of_one_block(ageing, number))
    name = f"seen:short:{number:02x}"
    ageing.cache.set("short", "k", 1)
    for spoil in (
        ageing.server.delete,
        lambda name: ageing.server.lpush(name, "x") if ageing.server.delete(name) else 0,
        lambda name: ageing.server.setrange(name, 50, "longer"),
        lambda name: ageing.server.setrange(name, HEADER + SLOTS * SLOT, "x" * SLOT),
    ):
        spoil(name)
        assert ageing.cache.set("short", "k", 2)
        assert len(ageing.block(number)) == HEADER + SLOT
        assert ageing.cache.lookup("short", other).miss_reason == "unknown"
    ageing.clock.tick(engine.lifetime_ms(SHORT) / 1000 + 1)
    assert ageing.cache.lookup("short", other).miss_reason == "cold"


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
