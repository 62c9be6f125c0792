"""What is known at a glance is what the long way says too, whatever stands in the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cache.core import quick, reading, seen
from cache.core.engine import Engine
from cache.core.entry import Entry, Sealer, tombstone
from cache.core.fingerprint import Fingerprint
from cache.core.fresh import absent
from cache.core.generations import CATEGORY_RECORD, TOKEN
from cache.core.lookup import MISS
from cache.core.quick import Hit
from cache.core.shelves import Wanted
from cache.core.sweeping import Swept, sweep
from cache.core.verdicts import Found
from cache.testing.clock import ManualClock
from telemetry.recorder import Recorder
from telemetry.vocabulary import BreakerState, MissReason, Tier

SERVER = b"8 bytes."
RECORD = b"c" * TOKEN + b"f" * TOKEN + SERVER + b"birthday" + bytes(32)
TAG = b"t" * TOKEN
FILE = Fingerprint("/data/a", 1, 2, 3, 4, 5)


def engine(identity: bytes = SERVER, key: bytes = b"") -> Engine:
    return Engine(
        recorder=Recorder(),
        clock=ManualClock(),
        identity=lambda: identity,
        breaker=lambda: BreakerState.CLOSED,
        unchanged=lambda _: True,
        sealer=Sealer(key),
    )


def entry(at: Engine, want: Wanted, **other: Any) -> Entry:
    """A fresh entry of the key under the tokens above."""
    now = at.clock.time()
    tokens = (RECORD[:TOKEN], *[TAG] * (len(want.scopes) - 1))
    usual: dict[str, Any] = {
        "digest": want.address.digest,
        "codec": 1,
        "compressed": False,
        "payload": b'{"n":1}',
        "created": now - 5,
        "expires": now + 60,
        "cost_s": 0.5,
        "scopes": tuple(zip(want.scopes, tokens, strict=True)),
        "own": b"o" * TOKEN,
    }
    return Entry(**usual | other)


def long_way(at: Engine, want: Wanted, reply: list[Any]) -> Found | None:
    """What ``reading`` says the long way; None when it has to ask the store again."""
    looking = reading.look(at, at.policies["tool"], [want], at.reading())
    next(looking)
    try:
        looking.send(reply)
    except StopIteration as end:
        return end.value[0]
    return None


def glance(at: Engine, want: Wanted, reply: list[Any]) -> Hit | None:
    """What both say, asked twice: the second time the scopes are known."""
    policy, now = at.policies["tool"], at.clock.time()
    tokens = dict(zip(want.scopes, (reply[1], *reply[3:]), strict=True))
    hit = quick.glance(at, policy, want, reply, now)
    assert quick.glance(at, policy, want, reply, now) == hit
    swept = sweep(at, policy, [want, want], reply[:1] * 2, tokens)
    if hit is None:
        assert (swept.values, swept.ages, swept.others()) == ([MISS, MISS], [], [0, 1])
        return None
    value, created, expires, cost_s, tier = hit
    assert swept == Swept([value] * 2, [max(0.0, now - created)] * 2, 2 * cost_s, expires - now, tier)
    return hit


def test_what_is_known_of_scopes_is_of_one_server_and_one_moment() -> None:
    """After a change of a token, of the record or of the server, nothing that was known before answers."""
    server = [SERVER]
    at = replace(engine(), identity=lambda: server[0])
    want = at.want(at.policies["tool"], ("read_file", {"path": "a"}))
    sound = [entry(at, want).pack(at.sealer), RECORD, None, TAG]
    for changed in ([*sound[:3], b"T" * TOKEN], [sound[0], b"C" * TOKEN + RECORD[TOKEN:], *sound[2:]]):
        assert glance(at, want, sound) is not None
        assert glance(at, want, changed) is None
    assert glance(at, want, sound) is not None
    server[0] = b"another."
    assert glance(at, want, sound) is None


def agree(hit: Hit | None, found: Found | None) -> bool:
    """True when both are the same hit."""
    if hit is None or found is None or found.entry is None or found.reason is not None:
        return False
    return hit == (found.value, found.entry.created, found.entry.expires, found.entry.cost_s, Tier.REDIS)


@pytest.mark.parametrize("key", [b"", b"k" * 32], ids=["checksum", "signature"])
@pytest.mark.parametrize("tags", [(), ("one", "größe")])
def test_a_plain_hit_is_known_at_a_glance(key: bytes, tags: tuple[str, ...]) -> None:
    at = engine(key=key)
    want = at.want(at.policies["tool"], ("read_file", {"path": "a"}), tags)
    reply = [entry(at, want).pack(at.sealer), RECORD, None, *[TAG] * (len(want.scopes) - 1)]
    hit = glance(at, want, reply)
    assert hit is not None
    assert hit[0] == {"n": 1}
    assert agree(hit, long_way(at, want, reply))
    assert at.view.token("category:tool") == RECORD[:32]
    assert all(at.view.token(scope) == TAG for scope in want.scopes[1:])


@pytest.mark.parametrize("tags", [(), ("one", "größe")])
@pytest.mark.parametrize("block", ["none", "whole", "partial", "written"])
@pytest.mark.parametrize("begun", [False, True])
def test_an_absent_key_is_known_at_a_glance(tags: tuple[str, ...], block: str, begun: bool) -> None:
    """Reason and fence are those of the long way, the first time and when the scopes are known."""
    at = engine()
    want = at.want(at.policies["tool"], ("read_file", {"path": "a"}), tags)
    record = RECORD[:48] + (b"\xff" * 32 if begun else bytes(32))
    raw = {"none": None, "whole": bytes(4), "partial": b"\xff" * 4, "written": bytes(4)}[block]
    if raw is not None:
        raw += record[40:48]
    if raw is not None and block == "written":
        raw += seen.slot(want.address.digest, want.scopes, [record, *[TAG] * (len(want.scopes) - 1)], at.clock.time())
    reply: list[Any] = [None, record, raw, *[TAG] * (len(want.scopes) - 1)]
    found = [absent(at, want, reply) for _ in range(2)]
    assert found == [long_way(at, want, reply)] * 2
    assert all(
        at.view.token(scope) == token for scope, token in zip(want.scopes, (RECORD[:32], TAG, TAG), strict=False)
    )


@pytest.mark.parametrize("part", [1, 3])
@pytest.mark.parametrize("changed", [None, b"", RECORD[:-1], RECORD[:32] + b"another." + RECORD[40:], TAG + b"x"])
def test_an_absent_key_under_an_unsound_scope_is_not(part: int, changed: bytes | None) -> None:
    """What must be made before a write, or belongs to another server, is left to the long way; so is what is there."""
    at = engine()
    want = at.want(at.policies["tool"], ("read_file", {"path": "a"}))
    reply: list[Any] = [None, RECORD, None, TAG]
    assert absent(at, want, reply) is not None
    reply[part] = changed
    assert absent(at, want, reply) is None
    assert absent(at, want, [tombstone(TAG), RECORD, None, TAG]) is None
    assert absent(at, want, [None, RECORD, None]) is None


CHANGES: dict[str, Callable[[Engine, Wanted, list[Any]], None]] = {
    "nothing there": lambda at, want, reply: reply.__setitem__(0, None),
    "tombstone": lambda at, want, reply: reply.__setitem__(0, tombstone(TAG)),
    "expired": lambda at, want, reply: reply.__setitem__(0, entry(at, want, expires=at.clock.time()).pack(at.sealer)),
    "another key's": lambda at, want, reply: reply.__setitem__(0, entry(at, want, digest=bytes(32)).pack(at.sealer)),
    "files": lambda at, want, reply: reply.__setitem__(0, entry(at, want, files=(FILE,)).pack(at.sealer)),
    "one more scope": lambda at, want, reply: reply.__setitem__(
        0, entry(at, want, scopes=(*entry(at, want).scopes, ("tag:x", TAG))).pack(at.sealer)
    ),
    "a scope less": lambda at, want, reply: reply.__setitem__(
        0, entry(at, want, scopes=entry(at, want).scopes[:-1]).pack(at.sealer)
    ),
    "other order": lambda at, want, reply: reply.__setitem__(
        0, entry(at, want, scopes=[entry(at, want).scopes[i] for i in (0, 2, 1)]).pack(at.sealer)
    ),
    "other seal": lambda at, want, reply: reply.__setitem__(0, entry(at, want).pack(Sealer(b"x" * 32))),
    "no such codec": lambda at, want, reply: reply.__setitem__(0, entry(at, want, codec=9).pack(at.sealer)),
    "no JSON": lambda at, want, reply: reply.__setitem__(0, entry(at, want, payload=b"{").pack(at.sealer)),
    "no frame": lambda at, want, reply: reply.__setitem__(0, entry(at, want, compressed=True).pack(at.sealer)),
    "category invalidated": lambda at, want, reply: reply.__setitem__(1, b"C" * TOKEN + RECORD[TOKEN:]),
    "no record": lambda at, want, reply: reply.__setitem__(1, None),
    "short record": lambda at, want, reply: reply.__setitem__(1, RECORD[:-1]),
    "another server's record": lambda at, want, reply: reply.__setitem__(1, RECORD[:32] + b"another." + RECORD[40:]),
    "tag invalidated": lambda at, want, reply: reply.__setitem__(3, b"T" * TOKEN),
    "tag gone": lambda at, want, reply: reply.__setitem__(3, None),
    "tag malformed": lambda at, want, reply: reply.__setitem__(3, TAG + b"x"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_nothing_else_is(what: str) -> None:
    """None of these is a plain hit; those that are hits all the same, the long way finds."""
    at = engine()
    want = at.want(at.policies["tool"], ("read_file", {"path": "a"}), ("one",))
    reply = [entry(at, want).pack(at.sealer), RECORD, None, TAG, TAG]
    assert glance(at, want, reply) is not None
    CHANGES[what](at, want, reply)
    assert glance(at, want, reply) is None
    found = long_way(at, want, reply)
    hits = ("files", "other order")
    assert (found is not None and found.reason is None) == (what in hits)


def test_keys_under_different_scopes_are_swept_together() -> None:
    """Each is judged by its own scopes, and one that is no plain hit leaves its neighbours alone."""
    at = engine()
    policy = at.policies["tool"]
    wanted = [at.want(policy, (name, {"n": n})) for n, name in enumerate(["read_file", "list", "read_file", "list"])]
    raw = [entry(at, want, payload=b"%d" % n).pack(at.sealer) for n, want in enumerate(wanted)]
    tokens = {"category:tool": RECORD, "tag:tool:read_file": TAG, "tag:tool:list": b"T" * TOKEN}
    swept = sweep(at, policy, wanted, raw, tokens)
    assert (swept.values, swept.others()) == ([0, MISS, 2, MISS], [1, 3])
    assert (swept.ages, swept.cost_s) == ([5.0, 5.0], 1.0)


@given(
    st.integers(min_value=0, max_value=3),
    st.integers(min_value=0),
    st.integers(min_value=1, max_value=255),
    st.sampled_from([b"", SERVER, b"another."]),
)
@example(0, 4, 1, SERVER)
def test_a_changed_byte_makes_no_hit_of_its_own(part: int, at_byte: int, by: int, identity: bytes) -> None:
    at = engine(identity)
    want = at.want(at.policies["tool"], ("read_file", {"path": "a"}))
    reply: list[Any] = [entry(at, want).pack(at.sealer), RECORD, bytes(CATEGORY_RECORD), TAG]
    changed = bytearray(reply[part])
    changed[at_byte % len(changed)] ^= by
    reply[part] = bytes(changed)
    hit = glance(at, want, reply)
    if hit is not None:
        assert agree(hit, long_way(at, want, reply))


def test_a_batch_asks_no_block_of_a_key_that_it_has_met() -> None:
    """Hits of keys that were met cost no block; one that is gone is asked for then."""
    at = engine()
    policy, shelf = at.policies["tool"], at.shelf("tool")
    asked = [("read_file", {"path": path}) for path in ("a", "b")]
    entries = [entry(at, want).pack(at.sealer) for want in shelf.want_all(asked)]
    begun = RECORD[:48] + b"\xff" * 32

    def look(*replies: list[Any]) -> tuple[list[int], list[Any]]:
        """How many keys each command named, and what was found."""
        looking, lengths = reading.look_over(at, policy, shelf.want_all(asked), at.reading()), []
        step = next(looking)
        try:
            for reply in replies:
                lengths.append(len(step.args) - 1)
                step = looking.send(reply)
        except StopIteration as end:
            found = end.value.found
            return lengths, [found[place].reason if place in found else None for place in range(2)]
        raise AssertionError("it asks on")

    whole = bytes(4) + RECORD[40:48]
    (_, gone) = shelf.want_all(asked)
    slot = seen.slot(gone.address.digest, gone.scopes, [RECORD, TAG], at.clock.time() + 60)
    assert look([*entries, begun, TAG, whole, whole]) == ([6], [None, None])
    assert look([*entries, begun, TAG]) == ([4], [None, None])
    # one that is gone: its block says why, and once it was seen its copy does
    assert look([entries[0], None, begun, TAG], [None]) == ([4, 1], [None, MissReason.UNKNOWN])
    assert look([entries[0], None, begun, TAG], [whole]) == ([4, 1], [None, MissReason.COLD])
    assert look([entries[0], None, begun, TAG], [None]) == ([4, 1], [None, MissReason.COLD])
    assert look([entries[0], None, begun, TAG], [whole + slot]) == ([4, 1], [None, MissReason.EVICTED])
    # another record: whether the key was written since nobody knows, and its block is asked for
    other = begun[:40] + b"reborn.." + begun[48:]
    cold = bytes(4) + other[40:48]
    assert look([entries[0], None, other, TAG], [cold]) == ([4, 1], [None, MissReason.COLD])
