"""What is kept of an entry: its facts, its value or its payload, and how many bytes that is."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import pytest
from support.local import SCOPES, Miniature, digest_of, entry_of

from cache.core import codecs, nearby
from cache.core.bonds import Bonds
from cache.core.codecs import CodecName
from cache.core.entry import HEAD_SIZE, Sealer, parse
from cache.core.fingerprint import Fingerprint
from cache.core.held import Held, hold
from cache.core.lookup import MISS
from cache.core.policies import Policy
from cache.core.touches import Touches

POLICY = Policy(name="prompt")


def kept(value: Any, name: str = "k", codec: CodecName = CodecName.AUTO, **facts: Any) -> Held:
    """An entry of a value, held."""
    encoded = codecs.encode(value, codec=codec, max_bytes=1 << 20, compress_above=4096)
    facts |= {"codec": encoded.codec, "compressed": encoded.compressed}
    raw, entry = entry_of(name, encoded.payload, **facts)
    decoded = codecs.decode(entry.codec, entry.compressed, entry.payload, max_bytes=1 << 20)
    held = hold(name, raw, entry, decoded, Bonds(str).tie(entry.scopes))
    held.place = 1
    return held


def test_it_has_the_facts_of_its_entry() -> None:
    """Whoever accounts for a hit finds what an entry has."""
    files = (Fingerprint("/a", 1, 2, 3, 4, 5),)
    raw, entry = entry_of("k", own=b"o" * 16, files=files)
    held = hold("k", raw, entry, MISS, Bonds(str).tie(entry.scopes))
    for fact in ("created", "expires", "cost_s", "scopes", "files", "own", "codec", "compressed", "payload"):
        assert getattr(held, fact) == getattr(entry, fact)
    assert held.data[:HEAD_SIZE] == raw[:HEAD_SIZE]


@pytest.mark.parametrize("value", ["text", "x" * 9000, b"bytes", 7, 1.5, True, None])
def test_a_value_that_cannot_be_changed_is_kept_decoded(value: Any) -> None:
    """It is the same object for everybody, and its payload is not kept beside it."""
    held = kept(value)
    assert held.payload == b""
    assert nearby.value_of(POLICY, held) is nearby.value_of(POLICY, held)
    assert nearby.value_of(POLICY, held) == value


@pytest.mark.parametrize("value", [{"a": [1]}, [1, {"b": 2}], {"long": "x" * 9000}])
def test_a_value_that_can_be_changed_is_decoded_for_each(value: Any) -> None:
    """What a caller does to what it got reaches nobody."""
    held = kept(value)
    first = nearby.value_of(POLICY, held)
    first.clear()
    assert nearby.value_of(POLICY, held) == value


def test_a_vector_is_shared_and_read_only() -> None:
    """An array that nobody can write to is handed to everybody."""
    numpy = pytest.importorskip("numpy")
    held = kept(numpy.arange(384, dtype="<f4"), codec=CodecName.VECTOR)
    array = nearby.value_of(POLICY, held)
    assert array is nearby.value_of(POLICY, held)
    assert not array.flags.writeable


def test_one_that_left_while_it_was_read_is_no_answer() -> None:
    """An emptied entry never passes for an empty value."""
    held = kept(b"bytes")
    held.place = 0
    held.empty()
    assert nearby.value_of(POLICY, held) is MISS


def test_writes_are_told_apart_by_what_stands_in_redis() -> None:
    """Two writes of one key differ in their stamp, also when only the payload differs."""
    stamps = {hold("k", *entry_of("k", payload), MISS, Bonds(str).tie(SCOPES)).stamp for payload in (b"1", b"2", b"3")}
    assert len(stamps) == 3


@pytest.mark.parametrize("shape", ["small", "text", "large", "vector", "files"])
def test_the_bytes_that_are_counted_are_those_that_are_taken(shape: str) -> None:
    """The bound means memory: what is counted is within a fifth of what the allocator says."""
    numpy = pytest.importorskip("numpy")
    makers: dict[str, Any] = {
        "small": lambda n: ({"n": n}, {}),
        "text": lambda n: (f"text {n} " * 10, {}),
        "large": lambda n: ({"rows": [n, n + 1] * 400}, {}),
        "vector": lambda n: (numpy.full(384, n, dtype="<f4"), {}),
        "files": lambda n: ({"n": n}, {"files": (Fingerprint(f"/a/{n}.py", 1 << 40, 1 << 41, n, 1 << 60, 1 << 61),)}),
    }
    count = 1000
    made = []
    for n in range(count):
        value, facts = makers[shape](n)
        encoded = codecs.encode(value, codec=CodecName.AUTO, max_bytes=1 << 20, compress_above=4096)
        facts |= {"codec": encoded.codec, "compressed": encoded.compressed}
        made.append(entry_of(f"prompt:{n:016x}", encoded.payload, **facts)[0])
    gc.collect()
    tracemalloc.start()
    small = Miniature(1 << 26)
    before, ticket = small.tier.used, small.tier.ticket()
    began = tracemalloc.get_traced_memory()[0]
    for n, raw in enumerate(made):
        name = f"prompt:{n:016x}"
        entry = parse(raw, digest_of(name), SCOPES[0][0], Sealer())
        value = codecs.decode(entry.codec, entry.compressed, entry.payload, max_bytes=1 << 20)
        small.tier.keep(name, raw, entry, value, ticket)
    del entry, value, name, raw
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - began
    tracemalloc.stop()
    assert small.tier.entries == count
    assert 0.8 * taken < small.tier.used - before < 1.2 * taken


def test_touches_are_remembered_in_order_and_forgotten_safely() -> None:
    """A ticket from before the oldest touch that is remembered counts as overtaken."""
    touches = Touches(limit=3)
    before = touches.now
    touches.touch("a")
    after = touches.now
    assert touches.since("a", before)
    assert not touches.since("a", after)
    assert not touches.since("b", before)
    for name in "cdef":
        touches.touch(name)
    assert touches.since("b", before)
    assert not touches.since("f", touches.now)
    touches.touch_all()
    assert touches.since("f", touches.now - 1)
    assert not touches.since("f", touches.now)
