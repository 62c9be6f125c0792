"""A new signing key: what the old one sealed is read for a while, then it is a miss; nothing is sealed by it."""

from __future__ import annotations

import pytest
import redis

from cache import MISS, Cache, Settings
from cache.core.entry import Sealer
from cache.errors import SettingsError
from cache.testing.clock import ManualClock

PATIENT = {"read_deadline": 2, "write_deadline": 2}


class Ticking(ManualClock):
    """Ages by command; deadlines never pass."""


def opened(url: str, clock: ManualClock, **settings: object) -> Cache:
    """A cache by settings, under a clock of the test's."""
    return Cache.from_url(url, clock=clock, **PATIENT, **settings)


def test_an_old_key_is_believed_for_a_while(glasscache_url: str) -> None:
    """Within the window a hit, afterwards a counted miss that the next write repairs; never an error."""
    clock = Ticking()
    with opened(glasscache_url, clock, signing_key="one") as before:
        before.set("prompt", "k", "signed by one")
    rotated = {"signing_key": "two", "signing_key_old": "one", "signing_window": 100}
    with opened(glasscache_url, clock, **rotated) as after:
        clock.tick(99)
        assert after.get("prompt", "k") == "signed by one"
        assert after.get_many("prompt", ["k"]) == ["signed by one"]
        clock.tick(2)
        assert after.lookup("prompt", "k").miss_reason == "corrupt"
        assert after.get("prompt", "k") is MISS
        assert after.get_or_compute("prompt", "k", lambda: "signed by two") == "signed by two"
    with opened(glasscache_url, clock, signing_key="two") as later:
        assert later.get("prompt", "k") == "signed by two"
    with opened(glasscache_url, clock, signing_key="one") as earlier:
        assert earlier.get("prompt", "k") is MISS


def test_a_third_key_is_never_believed(glasscache_url: str) -> None:
    """Nor is a checksum where a key is set, nor a seal where none is."""
    clock = Ticking()
    for forged in ({"signing_key": "three"}, {}):
        with opened(glasscache_url, clock, **forged) as forger:
            forger.set("prompt", "k", "forged")
        with opened(glasscache_url, clock, signing_key="two", signing_key_old="one") as cache:
            assert cache.lookup("prompt", "k").miss_reason == "corrupt"


def test_an_older_entry_put_back_is_refused_once_its_scope_was_invalidated(glasscache_url: str) -> None:
    """A replay is believed only while nothing that it depends on was invalidated, or its time is over."""
    clock = Ticking()
    with opened(glasscache_url, clock, signing_key="one") as cache, redis.Redis.from_url(glasscache_url) as server:
        cache.set("prompt", "k", "older", ttl=50)
        kept = server.get("prompt:k")
        cache.set("prompt", "k", "newer", ttl=50)
        cache.invalidate(tags=["nothing of its own"])
        cache.invalidate(category="prompt")
        server.set("prompt:k", kept)
        assert cache.lookup("prompt", "k").miss_reason == "invalidated"


def test_a_sealer_seals_by_its_new_key_alone() -> None:
    """Two sealers differ in what they believe, not in what they say."""
    new, both = Sealer(b"new"), Sealer(b"new", b"old", lambda: True)
    assert both.seal(b"data") == new.seal(b"data")
    sealed = b"data" + Sealer(b"old").seal(b"data")
    assert (both.holds(sealed), new.holds(sealed)) == (True, False)
    assert not Sealer(b"new", b"old", lambda: False).holds(sealed)


def test_an_old_key_stands_beside_a_new_one() -> None:
    """Alone it would sign nothing; a window is a length of time."""
    with pytest.raises(SettingsError, match="CACHE_SIGNING_KEY_OLD"):
        Settings.of(signing_key_old="one")
    for window in (-1, float("nan"), "soon"):
        with pytest.raises(SettingsError, match="CACHE_SIGNING_WINDOW"):
            Settings.of(signing_window=window)
    assert "one" not in repr(Settings.of(signing_key="two", signing_key_old="one"))
