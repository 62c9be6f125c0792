"""The seen-filter: a key is called new only when that is certain."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from cache.core.generations import CATEGORY_RECORD, CategoryRecord
from cache.core.seen import BLOCKS, HEADER, WHOLE, bits_of, block_of, reason_for_absent
from telemetry.vocabulary import MissReason

BIRTH, OTHER_BIRTH = b"birthday", b"another!"
digests = st.binary(min_size=32, max_size=32)


def record(*begun: int) -> CategoryRecord:
    """A category's record in which some blocks were begun."""
    bits = bytearray(32)
    for number in begun:
        bits[number >> 3] |= 0x80 >> (number & 7)
    return CategoryRecord(fence=bytes(32), identity=bytes(8), birth=BIRTH, begun=bytes(bits))


def block(*members: bytes, mark: bytes = WHOLE, birth: bytes = BIRTH) -> bytes:
    """A block into which keys were written as SETBIT does it."""
    bits = bytearray(64)
    for digest in members:
        for bit in bits_of(digest):
            bits[bit >> 3] |= 0x80 >> (bit & 7)
    return mark + birth + bytes(bits)


def digest(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


@given(digests)
def test_a_key_has_one_block_and_four_bits_in_it(key: bytes) -> None:
    """Block 0 to 255 by the first byte, bits 0 to 511 by the next five."""
    assert block_of(key) == key[0] < BLOCKS
    assert all(0 <= bit < 512 for bit in bits_of(key))
    assert bits_of(key) == bits_of(b"x" + key[1:6] + bytes(26))


def test_bits_never_move() -> None:
    """Positions of a known digest are pinned: every process must find what another one set."""
    assert bits_of(bytes(range(32))) == (5, 386, 128, 32)


@given(digests, st.lists(digests, max_size=20))
def test_a_written_key_is_never_called_new(key: bytes, others: list[bytes]) -> None:
    """Whatever else was written to its block."""
    assert reason_for_absent(key, record(key[0]), block(key, *others)) is MissReason.UNKNOWN


@given(digests)
def test_a_key_in_an_empty_whole_block_is_new(key: bytes) -> None:
    """The block has held every write, and this key's bits are not set."""
    assert reason_for_absent(key, record(key[0]), block()) is MissReason.COLD


@given(digests)
def test_one_missing_bit_is_enough(key: bytes) -> None:
    """A key is new when any of its four bits is not set."""
    for bit in bits_of(key):
        bits = bytearray(b"\xff" * 64)
        bits[bit >> 3] &= ~(0x80 >> (bit & 7)) & 0xFF
        assert reason_for_absent(key, record(key[0]), WHOLE + BIRTH + bits) is MissReason.COLD


@given(digests)
def test_a_block_that_was_never_begun_proves_that_a_key_is_new(key: bytes) -> None:
    """One that was begun and is gone proves nothing, and neither do its neighbours."""
    others = set(range(BLOCKS)) - {key[0]}
    assert reason_for_absent(key, record(*others), None) is MissReason.COLD
    assert reason_for_absent(key, record(key[0]), None) is MissReason.UNKNOWN


@given(digests)
def test_a_block_of_an_earlier_birth_counts_as_none(key: bytes) -> None:
    """After the category began anew its old blocks prove nothing."""
    old = block(key, birth=OTHER_BIRTH)
    assert reason_for_absent(key, record(), old) is MissReason.COLD
    assert reason_for_absent(key, record(key[0]), old) is MissReason.UNKNOWN


@given(digests)
def test_a_partial_or_damaged_block_proves_nothing(key: bytes) -> None:
    """One that was lost and begun again, cut, or too long gives unknown, never new."""
    whole = block()
    for raw in (block(mark=b"P"), whole[:-1], whole[: HEADER + 1], whole + b"\0", whole[:HEADER]):
        assert reason_for_absent(key, record(key[0]), raw) is MissReason.UNKNOWN


def test_a_block_cut_inside_its_head_proves_nothing() -> None:
    """Any length of a begun block but the right one gives unknown."""
    key = digest(1)
    reasons = {reason_for_absent(key, record(key[0]), block()[:size]) for size in range(HEADER + 64)}
    assert reasons == {MissReason.UNKNOWN}


def test_about_one_new_key_in_a_hundred_reads_as_seen_at_13000_keys() -> None:
    """The rate that the module promises, measured on keys that were never written."""
    members: dict[int, list[bytes]] = {}
    for number in range(13_000):
        members.setdefault(digest(number)[0], []).append(digest(number))
    blocks = {number: block(*held) for number, held in members.items()}
    everything = record(*range(BLOCKS))
    fresh = [digest(number) for number in range(1_000_000, 1_020_000)]
    wrong = sum(reason_for_absent(key, everything, blocks[key[0]]) is MissReason.UNKNOWN for key in fresh)
    assert 0.005 < wrong / len(fresh) < 0.02


def test_a_fresh_record_has_begun_no_block() -> None:
    """Every key of a category that was just born is new."""
    raw = CategoryRecord.fresh(b"server01", lambda size: b"r" * size)
    parsed = CategoryRecord.parse(raw, b"server01")
    assert parsed is not None and len(raw) == CATEGORY_RECORD
    assert {reason_for_absent(digest(number), parsed, None) for number in range(1000)} == {MissReason.COLD}
