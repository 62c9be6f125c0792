"""The bytes of an entry: no damaged, cut, foreign or forged byte is ever believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.core.entry import (
    COMPRESSED,
    ENTRY,
    PREFIX,
    SIGNED,
    BadEntryError,
    Entry,
    Sealer,
    is_tombstone,
    own_token,
    parse,
    tombstone,
)
from cache.core.fingerprint import Fingerprint
from cache.core.generations import NO_TOKEN, TOKEN
from telemetry.vocabulary import MissReason

DIGEST, OTHER_DIGEST = bytes(range(32)), bytes(range(1, 33))
CATEGORY = "category:tool"
FULL = Entry(
    digest=DIGEST,
    codec=3,
    compressed=True,
    payload=b"the payload",
    created=1_700_000_000.25,
    expires=1_700_003_600.5,
    cost_s=0.125,
    scopes=((CATEGORY, b"a" * TOKEN), ("tag:tool:größe", b"b" * TOKEN)),
    files=(Fingerprint("/data/a", 1, 2, 3, 4, -5), Fingerprint("/data/\udcff", 2**64 - 1, 0, 0, -1, 1)),
    own=b"o" * TOKEN,
)
BARE = Entry(DIGEST, 1, False, b"", created=0.0, expires=0.0, cost_s=0.0, scopes=((CATEGORY, b"a" * TOKEN),))
SEALERS = {"checksum": Sealer(), "signature": Sealer(b"k" * 32)}


@pytest.fixture(params=SEALERS)
def sealer(request: pytest.FixtureRequest) -> Sealer:
    return SEALERS[request.param]


def reason(raw: bytes, sealer: Sealer, digest: bytes = DIGEST) -> MissReason:
    """Why bytes are refused; fails when they are believed."""
    with pytest.raises(BadEntryError) as caught:
        parse(raw, digest, CATEGORY, sealer)
    return caught.value.reason


def sealed(body: bytes, sealer: Sealer) -> bytes:
    return body + sealer.seal(body)


@pytest.mark.parametrize("entry", [FULL, BARE])
def test_an_entry_comes_back_whole(entry: Entry, sealer: Sealer) -> None:
    """Every field survives, under both seals."""
    assert parse(entry.pack(sealer), DIGEST, CATEGORY, sealer) == entry


@given(
    st.builds(
        Entry,
        digest=st.just(DIGEST),
        codec=st.integers(0, 255),
        compressed=st.booleans(),
        payload=st.binary(max_size=64),
        created=st.floats(allow_nan=False),
        expires=st.floats(allow_nan=False),
        cost_s=st.floats(allow_nan=False, width=32),
        scopes=st.lists(st.tuples(st.text(max_size=8), st.binary(min_size=16, max_size=16)), max_size=3).map(
            lambda tags: ((CATEGORY, b"c" * TOKEN), *tags)
        ),
        files=st.lists(
            st.builds(
                Fingerprint,
                st.text(max_size=8),
                *[st.integers(0, 2**64 - 1)] * 3,
                *[st.integers(-(2**63), 2**63 - 1)] * 2,
            ),
            max_size=3,
        ).map(tuple),
        own=st.binary(min_size=16, max_size=16),
    ),
    st.sampled_from(list(SEALERS.values())),
)
def test_any_entry_comes_back_whole(entry: Entry, sealer: Sealer) -> None:
    """No scope, file or payload reaches into another."""
    assert parse(entry.pack(sealer), DIGEST, CATEGORY, sealer) == entry


@pytest.mark.parametrize("entry", [FULL, BARE])
def test_every_flipped_byte_is_refused(entry: Entry, sealer: Sealer) -> None:
    """Each bit of each byte, and each byte inverted: never believed, and corrupt unless the version is hit."""
    raw = entry.pack(sealer)
    for at in range(len(raw)):
        for mask in (1, 2, 4, 8, 16, 32, 64, 128, 255):
            damaged = raw[:at] + bytes([raw[at] ^ mask]) + raw[at + 1 :]
            assert reason(damaged, sealer) is (MissReason.VERSION if at < 3 else MissReason.CORRUPT), (at, mask)


@pytest.mark.parametrize("entry", [FULL, BARE])
def test_a_cut_at_every_length_is_refused(entry: Entry, sealer: Sealer) -> None:
    """From the front or the back, no part of an entry is an entry."""
    raw = entry.pack(sealer)
    for size in range(len(raw)):
        assert reason(raw[:size], sealer) is (MissReason.VERSION if size < 3 else MissReason.CORRUPT), size
        assert reason(raw[len(raw) - size :], sealer) in (MissReason.VERSION, MissReason.CORRUPT), size


def test_bytes_behind_an_entry_are_refused(sealer: Sealer) -> None:
    """Also when the seal is made anew over them, the lengths do not fit."""
    raw = FULL.pack(sealer)
    assert reason(raw + b"\0", sealer) is MissReason.CORRUPT
    assert reason(sealed(raw[: -sealer.size] + b"\0", sealer), sealer) is MissReason.CORRUPT


def test_another_keys_entry_is_a_collision(sealer: Sealer) -> None:
    """A sound entry under the name of another key is told from a damaged one."""
    assert reason(FULL.pack(sealer), sealer, OTHER_DIGEST) is MissReason.COLLISION
    assert reason(FULL._replace(digest=OTHER_DIGEST).pack(sealer), sealer) is MissReason.COLLISION


def test_a_damaged_entry_of_another_key_is_corrupt(sealer: Sealer) -> None:
    """The seal is checked before the digest is believed."""
    raw = bytearray(FULL.pack(sealer))
    raw[22] ^= 1
    assert reason(bytes(raw), sealer, OTHER_DIGEST) is MissReason.CORRUPT


def test_the_seal_is_what_the_settings_say() -> None:
    """An unsigned entry never passes where signatures are asked for, nor a signed one where they are not."""
    plain, signed = SEALERS["checksum"], SEALERS["signature"]
    assert reason(FULL.pack(plain), signed) is MissReason.CORRUPT
    assert reason(FULL.pack(signed), plain) is MissReason.CORRUPT
    assert reason(FULL.pack(Sealer(b"another key")), signed) is MissReason.CORRUPT


def test_a_forger_without_the_key_is_refused() -> None:
    """Who flips the flag and seals by checksum, or cuts the flag off, is not believed."""
    signed = SEALERS["signature"]
    body = bytearray(FULL.pack(signed)[: -signed.size])
    assert body[21] == SIGNED | COMPRESSED
    for flags in (SIGNED, 0):
        body[21] = flags
        assert reason(sealed(bytes(body), Sealer()), signed) is MissReason.CORRUPT
        assert reason(sealed(bytes(body), Sealer()) + bytes(28), signed) is MissReason.CORRUPT


@pytest.mark.parametrize("at", [74, 75, 76, 77, 78, 79, 80, 81])
@pytest.mark.parametrize("value", [0, 1, 127, 255])
def test_counts_that_lie_under_a_sound_seal_are_refused(at: int, value: int, sealer: Sealer) -> None:
    """Numbers of scopes, files and bytes that do not fit what follows are corrupt, whatever the seal says."""
    body = bytearray(FULL.pack(sealer)[: -sealer.size])
    honest = body[at] == value
    body[at] = value
    if honest:
        assert parse(sealed(bytes(body), sealer), DIGEST, CATEGORY, sealer) == FULL
    else:
        assert reason(sealed(bytes(body), sealer), sealer) is MissReason.CORRUPT


@given(st.binary(max_size=120), st.integers(0, 3), st.integers(0, 3), st.sampled_from(list(SEALERS.values())))
def test_any_tail_under_a_sound_seal_is_read_or_refused(tail: bytes, tags: int, files: int, sealer: Sealer) -> None:
    """Random bytes behind a sound head give an entry or a BadEntryError, nothing else."""
    body = bytearray(BARE.pack(sealer)[: -sealer.size] + tail)
    body[75], body[77], body[81] = tags, files, len(tail) if not tags + files else 0
    try:
        entry = parse(sealed(bytes(body), sealer), DIGEST, CATEGORY, sealer)
        sound = (len(entry.scopes), len(entry.files)) == (1 + tags, files)
    except BadEntryError as error:
        sound = error.reason is MissReason.CORRUPT
    assert sound


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"{}",
        b"OK",
        b"\x80\x04N.",
        b"\xffg\x01" + bytes(200),
        b"\xffg\x03" + bytes(200),
        b"\xffh\x02" + bytes(200),
    ],
)
def test_what_is_not_ours_is_of_another_version(raw: bytes, sealer: Sealer) -> None:
    """Text, other formats, earlier and later versions are misses of their own kind, not damage."""
    assert reason(raw, sealer) is MissReason.VERSION


def test_a_record_begins_with_what_no_text_can() -> None:
    """The first byte is no UTF-8, so that a text client fails at once instead of reading on."""
    assert FULL.pack(Sealer())[:4] == PREFIX + bytes([ENTRY])
    with pytest.raises(UnicodeDecodeError):
        PREFIX.decode()


def test_a_tombstone_is_no_entry(sealer: Sealer) -> None:
    """It is recognised as what it is, carries its token, and is never read as a value."""
    record = tombstone(b"t" * TOKEN)
    assert is_tombstone(record)
    assert own_token(record) == b"t" * TOKEN
    assert reason(record, sealer) is MissReason.CORRUPT
    assert reason(sealed(record + bytes(200), sealer), sealer) is MissReason.CORRUPT


def test_only_a_whole_tombstone_is_one(sealer: Sealer) -> None:
    """Neither an entry nor a tombstone that is cut or longer counts."""
    record = tombstone(b"t" * TOKEN)
    assert not any(is_tombstone(raw) for raw in (FULL.pack(sealer), record[:-1], record + b"\0", b"", PREFIX))


def test_the_own_token_stands_at_its_fixed_place(sealer: Sealer) -> None:
    """The write script reads bytes 4 to 19 of any record of ours, of any version; of all else, the token of nobody."""
    assert own_token(FULL.pack(sealer)) == b"o" * TOKEN == FULL.pack(sealer)[4:20]
    assert [own_token(raw) for raw in (None, b"", b"x" * 99, PREFIX, FULL.pack(sealer)[:19])] == [NO_TOKEN] * 5
    assert own_token(b"\xffg\x01\x01" + b"t" * TOKEN) == b"t" * TOKEN


def test_a_seal_depends_on_its_key_alone() -> None:
    """Equal keys seal alike, different ones do not, and the two kinds differ in length."""
    assert Sealer(b"a").seal(b"x") == Sealer(b"a").seal(b"x") != Sealer(b"b").seal(b"x")
    assert (len(Sealer().seal(b"x")), len(Sealer(b"a").seal(b"x"))) == (4, 32)
