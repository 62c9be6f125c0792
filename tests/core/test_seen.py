"""The table of what was seen: why an absent key is absent, in bounded memory."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.core import seen
from cache.core.generations import CATEGORY_RECORD, TOKEN, CategoryRecord
from cache.core.marks import CODES, Cause, code_of, marked
from cache.core.seen import BLOCKS, EPOCH, HEADER, SLOT, SLOTS, begun, block_of, slot, swept, tick
from telemetry.vocabulary import MissReason, MissTrigger

BIRTH, OTHER_BIRTH = b"birthday", b"another!"
NOW = 1_700_000_000.0
ALONE = ("category:c",)
TAGGED = ("category:c", "tag:a", "tag:b")
CATEGORY, A, B = b"c" * 32, b"a" * TOKEN, b"b" * TOKEN
TOKENS: dict[str, bytes | None] = {"category:c": CATEGORY, "tag:a": A, "tag:b": B}

COLD, EXPIRED = (MissReason.COLD, None), (MissReason.EXPIRED, None)
EVICTED, UNKNOWN = (MissReason.EVICTED, None), (MissReason.UNKNOWN, None)
digests = st.binary(min_size=32, max_size=32)


def record(*numbers: int) -> CategoryRecord:
    """A category's record in which some blocks were begun."""
    bits = bytearray(32)
    for number in numbers:
        bits[number >> 3] |= 0x80 >> (number & 7)
    return CategoryRecord(fence=bytes(32), identity=bytes(8), birth=BIRTH, begun=bytes(bits))


def filled(digest: bytes, expires: float = NOW + 60, scopes: tuple[str, ...] = ALONE) -> bytes:
    """The slot of an entry that was made under the tokens above."""
    return slot(digest, scopes, [TOKENS[scope] or b"" for scope in scopes], expires)


def block(*slots: bytes, until: int = 0, birth: bytes = BIRTH) -> bytes:
    return until.to_bytes(4, "big") + birth + b"".join(slots)


def why(digest: bytes, raw: Any, *, at: float = NOW, asked: tuple[str, ...] = ALONE, **tokens: bytes | None) -> Cause:
    """Why a key is absent, all blocks being begun."""
    named = TOKENS | {name.replace("_", ":"): token for name, token in tokens.items()}
    return seen.why_absent(digest, (asked, ALONE), record(*range(BLOCKS)), named, raw, at)


def digest(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


@given(digests)
def test_a_key_has_one_block_and_a_fingerprint_in_it(key: bytes) -> None:
    """Block 0 to 127 by the first byte; the slot begins with the next two."""
    assert block_of(key) == key[0] >> 1 < BLOCKS
    assert filled(key)[: seen.FINGERPRINT] == key[1:3] and len(filled(key)) == SLOT


def test_a_slot_never_moves() -> None:
    """The bytes of a known slot are pinned: every process must read what another one wrote."""
    made = slot(bytes(range(32)), TAGGED, [CATEGORY, b"+" + A, B], NOW + 0.9)
    assert made.hex() == "0102" + "63" + "9c" + f"{ord('a') ^ ord('b'):02x}" + f"{tick(NOW + 0.75):08x}"
    assert tick(NOW) == (NOW - EPOCH) * 4 and (tick(0), tick(1e12)) == (16, (1 << 32) - 1)


@given(digests, st.lists(digests, max_size=20))
def test_a_written_key_is_never_called_new(key: bytes, others: list[bytes]) -> None:
    """Whatever else was written to its block."""
    raw = block(*map(filled, others), filled(key))
    assert why(key, raw)[0] is MissReason.EVICTED


@given(digests)
def test_a_key_without_a_slot_is_new(key: bytes) -> None:
    """Unless the block forgot something whose time was not over, and until that has expired."""
    assert why(key, block()) == COLD
    assert why(key, block(until=tick(NOW + 9))) == UNKNOWN
    assert why(key, block(until=tick(NOW + 9)), at=NOW + 9) == COLD


@given(digests, st.floats(0.0, 1e8), st.floats(0.0, 1e8))
def test_what_expired_never_looks_evicted(key: bytes, life: float, passed: float) -> None:
    """At its expiry and ever after; before it, but for the last tick, it was evicted."""
    found = why(key, block(filled(key, NOW + life)), at=NOW + passed)
    assert found in (EXPIRED, EVICTED)
    if passed >= life:
        assert found == EXPIRED
    elif passed < life - 1 / seen.TICKS:
        assert found == EVICTED


@given(digests)
def test_what_was_invalidated_never_looks_expired_or_evicted(key: bytes) -> None:
    """A changed token of the category or of a tag is seen in the slot, and says what changed it."""
    raw, late = block(filled(key, scopes=TAGGED)), NOW + 600
    for at in (NOW, late):
        changed = marked(b"x" * 32, MissTrigger.CATEGORY)
        assert why(key, raw, at=at, asked=TAGGED, category_c=changed) == (MissReason.INVALIDATED, MissTrigger.CATEGORY)
        changed = marked(b"x" * TOKEN, MissTrigger.PATTERN)
        assert why(key, raw, at=at, asked=TAGGED, tag_b=changed)[0] is MissReason.INVALIDATED
        assert why(key, raw, at=at, asked=TAGGED, tag_a=changed, tag_b=changed)[0] is MissReason.INVALIDATED
    one = block(filled(key, scopes=TAGGED[:2]))
    assert why(key, one, asked=TAGGED[:2], tag_a=changed) == (MissReason.INVALIDATED, MissTrigger.PATTERN)


@given(digests)
def test_a_generation_that_was_lost_is_an_eviction(key: bytes) -> None:
    """It outlives its entries: one that is gone, or was made anew, was evicted."""
    raw = block(filled(key, scopes=TAGGED[:2]))
    for lost in (None, marked(b"x" * 32)):
        assert why(key, raw, category_c=lost) == EVICTED
        assert why(key, raw, asked=TAGGED[:2], tag_a=lost and lost[:TOKEN]) == EVICTED


@given(digests)
def test_tags_that_nobody_asks_for_are_not_judged(key: bytes) -> None:
    """Who asks without the tags that the entry had is told what can be told."""
    raw = block(filled(key, scopes=TAGGED))
    assert why(key, raw, tag_a=b"x" * TOKEN) == EVICTED


@given(digests)
def test_a_sweep_leaves_its_mark(key: bytes) -> None:
    """What a pattern removed says so, whatever its time."""
    for trigger in MissTrigger:
        raw = block(filled(key)[:-4] + swept(trigger))
        assert why(key, raw, at=NOW + 1e6) == (MissReason.INVALIDATED, trigger)


@given(digests)
def test_a_block_that_was_never_begun_proves_that_a_key_is_new(key: bytes) -> None:
    """One that was begun and is gone proves nothing, and neither do its neighbours."""
    others, tokens = set(range(BLOCKS)) - {block_of(key)}, TOKENS
    assert seen.why_absent(key, (ALONE,), record(*others), tokens, None, NOW) == COLD
    assert seen.why_absent(key, (ALONE,), record(block_of(key)), tokens, None, NOW) == UNKNOWN
    old = block(filled(key), birth=OTHER_BIRTH)
    assert seen.why_absent(key, (ALONE,), record(), tokens, old, NOW) == COLD
    assert seen.why_absent(key, (ALONE,), record(block_of(key)), tokens, old, NOW) == UNKNOWN


@given(digests)
def test_a_damaged_block_proves_nothing(key: bytes) -> None:
    """Cut, too long or of another type: unknown, never new."""
    whole = block(filled(key), filled(digest(1)))
    for raw in (whole[:-1], whole + b"\0", whole[: HEADER - 1], b"", whole + bytes(SLOT * SLOTS), 7, [whole]):
        assert why(key, raw) == UNKNOWN


def test_a_fingerprint_is_looked_for_in_its_place_only() -> None:
    """Its bytes may stand anywhere else in a slot."""
    key = b"\0" + filled(digest(1))[3:5] + bytes(29)
    assert filled(digest(1))[3:5] != filled(digest(1))[:2]
    assert why(key, block(filled(digest(1)))) == COLD
    assert why(key, block(filled(digest(1)), filled(key, NOW))) == EXPIRED


@pytest.mark.parametrize(("keys", "least", "most"), [(13_000, 0.001, 0.0021), (30_000, 0.0026, 0.0044)])
def test_new_keys_that_read_as_seen(keys: int, least: float, most: float) -> None:
    """The rate that the module promises, measured on keys that were never written."""
    members: dict[int, list[bytes]] = {}
    for number in range(keys):
        members.setdefault(block_of(digest(number)), []).append(filled(digest(number)))
    blocks = {number: block(*held[:SLOTS]) for number, held in members.items()}
    fresh = [digest(number) for number in range(1_000_000, 1_040_000)]
    wrong = sum(why(key, blocks[block_of(key)]) != COLD for key in fresh)
    assert least < wrong / len(fresh) < most


def test_a_fresh_record_has_begun_no_block() -> None:
    """Every key of a category that was just born is new."""
    raw = CategoryRecord.fresh(b"server01", lambda size: b"r" * size)
    parsed = CategoryRecord.parse(raw, b"server01")
    assert parsed is not None and len(raw) == CATEGORY_RECORD
    assert not any(begun(parsed, number) for number in range(BLOCKS))


def test_a_mark_is_read_as_it_was_written() -> None:
    """All triggers have a byte of their own, which is none of a time's and not that of what was merely made."""
    assert set(CODES.values()) == set(MissTrigger)
    codes = {code_of(trigger) for trigger in (None, *MissTrigger)}
    assert len(codes) == len(MissTrigger) + 1 and max(codes) < 16
    for trigger in MissTrigger:
        assert marked(b"t" * 32, trigger) == b"t" * 15 + bytes([code_of(trigger)]) + b"t" * 16
