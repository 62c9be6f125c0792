"""Fuzzing of what reads strangers' input: the entry decoder, the key encoder, the pattern parser.

10,000 inputs each; ``FUZZ_INPUTS=1000000`` or ``make fuzz`` takes more. Each of Hypothesis's examples is followed by 49
that are derived from it, which costs a tenth. What once failed is kept in ``corpus``, a line each.
"""

from __future__ import annotations

import ast
import copy
import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from cache.core import codecs
from cache.core.addresses import address
from cache.core.canonical import MAX_BYTES, encode
from cache.core.codecs import CodecName
from cache.core.entry import HEAD_SIZE, BadEntryError, Entry, Sealer, open_one, own_token, parse
from cache.core.fingerprint import Fingerprint
from cache.core.generations import TOKEN
from cache.core.hiding import Hidden
from cache.core.keys import LONGEST_PART
from cache.core.patterns import PatternPlan, plan
from cache.core.policies import built_in
from cache.core.shelves import Shelf
from cache.errors import CacheKeyError, CacheValueError, PatternError

CORPUS = Path(__file__).parent / "corpus"
INPUTS = int(os.environ.get("FUZZ_INPUTS", "10000"))

DERIVED = 49
"""Inputs that are made of one example."""

fuzzed = settings(
    max_examples=INPUTS // (1 + DERIVED),
    derandomize=INPUTS == 10_000,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
"""The same inputs in every run of CI; others in each long one."""

chances = st.randoms(use_true_random=False)
"""Chance that Hypothesis draws, so that it can be made smaller."""


def further(chance: Random) -> Iterator[Random]:
    """The chance that an example is made by, then as much again as is derived from it, which is quick."""
    yield chance
    quick = Random(chance.getrandbits(64))
    for _ in range(DERIVED):
        yield quick


def corpus(name: str) -> list[Any]:
    """The inputs that are kept, as Python's literals."""
    lines = (CORPUS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [ast.literal_eval(line) for line in lines if line and not line.startswith("#")]


# entries

DIGEST, CATEGORY, MOST = bytes(range(32)), "category:prompt", 1 << 16
SEALERS = (Sealer(), Sealer(b"k" * 32), Sealer(b"new", b"old", lambda: True))


def entry(value: Any, codec: CodecName, *, files: int = 0, tags: int = 0) -> Entry:
    """A sound entry of a value."""
    encoded = codecs.encode(value, codec=codec, max_bytes=MOST, compress_above=64)
    return Entry(
        digest=DIGEST,
        codec=encoded.codec,
        compressed=encoded.compressed,
        payload=encoded.payload,
        created=1.7e9,
        expires=1.8e9,
        cost_s=0.5,
        scopes=((CATEGORY, b"c" * TOKEN), *((f"tag:{n}", b"t" * TOKEN) for n in range(tags))),
        files=tuple(Fingerprint(f"/data/{n}", 1, n, 3, 4, 5) for n in range(files)),
    )


SOUND = (
    entry({"a": [1, 2.5, None, "é"]}, CodecName.JSON),
    entry("x" * 500, CodecName.JSON, tags=2),
    entry([[0.0] * 40] * 3, CodecName.JSON, files=2, tags=1),
    entry(np.arange(64, dtype=np.float32).reshape(2, 32), CodecName.VECTOR),
    entry(b"\x00\xff" * 200, CodecName.BYTES, files=1),
)
PACKED = {sealer: [one.pack(sealer) for one in SOUND] for sealer in SEALERS}


def damaged(chance: Random) -> tuple[bytes, Sealer]:
    """A sound entry with bytes changed, cut, put in or doubled, sealed again or not; or no entry at all."""
    sealer = chance.choice(SEALERS)
    if chance.random() < 0.1:
        return chance.randbytes(chance.randrange(200)), sealer
    raw = bytearray(chance.choice(PACKED[sealer]))
    for _ in range(chance.randrange(5)):
        # the head decides on all that follows: a third of what is changed is there
        at = chance.randrange(HEAD_SIZE if chance.random() < 0.3 else len(raw)) % len(raw)
        how = chance.randrange(4)
        if how == 0:
            raw[at] = chance.randrange(256)
        elif how == 1:
            del raw[at : at + chance.randrange(1, 41)]
        elif how == 2:
            raw[at:at] = chance.randbytes(chance.randrange(1, 9))
        else:
            raw[at:at] = raw[at : at + chance.randrange(1, 65)]
        raw = raw or bytearray(1)
    body = bytes(raw[: -sealer.size])
    return (body + sealer.seal(body) if chance.random() < 0.75 else bytes(raw)), sealer


def decode(raw: bytes, sealer: Sealer) -> None:
    """Read bytes as an entry by both ways; what is no entry, or no value, is a named refusal."""
    own_token(raw)
    scopes = raw[HEAD_SIZE : HEAD_SIZE + TOKEN]
    quick = open_one(raw, DIGEST, scopes, 1, sealer)
    try:
        found = parse(raw, DIGEST, CATEGORY, sealer)
    except BadEntryError:
        # whatever the long way refuses, the short one refuses too
        assert quick is None
        return
    assert quick is None or quick[:3] == (found.codec, found.compressed, found.payload)
    try:
        value = codecs.decode(found.codec, found.compressed, found.payload, max_bytes=MOST)
    except CacheValueError:
        return
    assert len(value) <= MOST if isinstance(value, str | bytes) else getattr(value, "nbytes", 0) <= MOST


@fuzzed
@given(chances)
def test_the_decoder_of_entries(chance: Random) -> None:
    """Any bytes are an entry or a named refusal, the same by both ways, and never more than the cap."""
    for one in further(chance):
        raw, sealer = damaged(one)
        note(repr(raw))
        decode(raw, sealer)


@pytest.mark.parametrize("raw", corpus("entries"))
def test_kept_entries(raw: bytes) -> None:
    """What once was read wrongly."""
    for sealer in SEALERS:
        decode(raw, sealer)
        decode(raw + sealer.seal(raw), sealer)


# keys

NAMES = re.compile(r"[a-z_]+:[A-Za-z0-9\-._%:~]{1,420}\Z")
SHELVES = [Shelf("", policy) for policy in built_in()]
HIDDEN = [Shelf("", policy, Hidden(b"secret", "")) for policy in built_in()]

_text = st.text(max_size=12) | st.sampled_from(
    ["", "\x00", "\r\n", "\ud800", "{a}", "*", "é", "e\u0301", "\u202e", "a" * 600]
)
_scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | _text | st.binary(max_size=12) | st.decimals()
    | st.uuids() | st.datetimes() | st.datetimes(timezones=st.just(UTC)) | st.dates() | st.times() | st.timedeltas()
)  # fmt: skip
_hashable = st.none() | st.booleans() | st.integers() | st.floats() | _text | st.tuples(_text, st.integers())
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(_hashable, inner, max_size=4)
        | st.tuples(inner, inner)
        | st.frozensets(_hashable, max_size=4)
        | st.sets(_hashable, max_size=4)
    ),
    max_leaves=8,
)
_keys = (
    _values | st.tuples(_text, st.integers(-1, 1 << 64)) | st.tuples(_text, st.dictionaries(_text, _values, max_size=3))
)


def name(key: Any) -> None:
    """Name a key in every category; what has no name is a named refusal."""
    for shelf, hidden in zip(SHELVES, HIDDEN, strict=True):
        try:
            made = shelf.want(key)
        except CacheKeyError:
            with pytest.raises(CacheKeyError):
                hidden.want(key)
            continue
        policy = shelf.policy
        assert made.address == address("", policy.name, policy.prefix, policy.suffix, copy.deepcopy(key))
        assert NAMES.match(made.address.name)
        assert max(map(len, made.address.name.split(":"))) <= LONGEST_PART
        assert re.fullmatch(r"[a-z_]+(:[0-9a-f]{32}){1,2}", hidden.want(key).address.name)
    try:
        assert len(encode(key)) <= 2 * MAX_BYTES
    except CacheKeyError:
        return


def wrapped(chance: Random, key: Any) -> Any:
    """Another key that holds this one."""
    text = chance.choice(["t", "a:b", "*", "", "\x00", "\ud800", "é" * chance.randrange(1, 300)])
    how = chance.randrange(8)
    if how == 0:
        return [key] * chance.randrange(1, 5)
    if how == 1:
        return (text, {text: key})
    if how == 2:
        return (text, chance.getrandbits(chance.choice([1, 31, 63, 64])))
    if how == 3:
        return {text: key, "b": text}
    if how == 4:
        return (text, key, {"root": text})
    if how == 5:
        return (key, text)
    return repr(key)[: chance.randrange(1, 700)] if how == 6 else [[key], text]


@fuzzed
@given(_keys, chances)
def test_the_encoder_of_keys(key: Any, chance: Random) -> None:
    """Any value is a key with one safe name, or refused by name; an equal copy has the same."""
    name(key)
    for one in list(further(chance))[1:]:
        key = wrapped(one, key if len(repr(key)) < 400 else one.random())
        note(repr(key))
        name(key)


@pytest.mark.parametrize("key", corpus("keys"), ids=range(len(corpus("keys"))))
def test_kept_keys(key: Any) -> None:
    """What once had no name, or another's."""
    name(key)


# patterns

PREFIXES = {policy.prefix: policy.name for policy in built_in()}
OTHERS = ("context", "other:prompt:a", "ns", "nsx:prompt:a", "gen:category:prompt", "ns:gen:category:prompt", "fleet",
          "ns:fleet", "lock:ab", "seen:prompt:00", "ns:@t:prompt:a", "@t:prompt:a", "x:context:t:1")  # fmt: skip
"""Names that no pattern of the namespace ``ns`` may reach."""

PIECES = (*PREFIXES, "gen", ":", ":", "*", "?", "[", "]", "^", "-", "\\", "%", "%2A", "a", "~", "é", "\x00", "\ud800")
_pieces = st.sampled_from(PIECES) | st.characters()
_patterns = st.lists(_pieces, max_size=14).map("".join) | st.builds(
    "{}:{}".format, st.sampled_from(sorted(PREFIXES)), st.lists(_pieces, max_size=10).map("".join)
)


def glob(pattern: str, text: str) -> bool:
    """Whether Redis's glob matches. Source: Redis, ``stringmatchlen`` of ``util.c``."""
    memory: dict[tuple[int, int], bool] = {}

    def matches(p: int, t: int) -> bool:
        if (p, t) not in memory:
            memory[p, t] = step(p, t)
        return memory[p, t]

    def step(p: int, t: int) -> bool:
        if p == len(pattern):
            return t == len(text)
        character = pattern[p]
        if character == "*":
            return matches(p + 1, t) or (t < len(text) and matches(p, t + 1))
        if t == len(text):
            return False
        if character == "?":
            return matches(p + 1, t + 1)
        if character == "[":
            found, p = member(p + 1, text[t])
            return found and matches(p, t + 1)
        if character == "\\" and p + 1 < len(pattern):
            p += 1
        return pattern[p] == text[t] and matches(p + 1, t + 1)

    def member(p: int, character: str) -> tuple[bool, int]:
        inverted = pattern[p : p + 1] == "^"
        p += inverted
        found = False
        while p < len(pattern) and pattern[p] != "]":
            if pattern[p] == "\\" and p + 1 < len(pattern):
                p += 1
                found |= pattern[p] == character
            elif pattern[p + 1 : p + 2] == "-" and p + 2 < len(pattern):
                low, high = sorted((pattern[p], pattern[p + 2]))
                found |= low <= character <= high
                p += 2
            else:
                found |= pattern[p] == character
            p += 1
        return found is not bool(inverted), min(p + 1, len(pattern))

    return matches(0, 0)


def read(pattern: str) -> None:
    """Read a pattern; what is none is a named refusal, and what is one reaches no name outside of its category."""
    for hidden in (None, Hidden(b"", "ns")):
        try:
            found = plan(pattern, PREFIXES, namespace="ns", hidden=hidden)
        except PatternError:
            continue
        assert isinstance(found, PatternPlan)
        prefix = next(prefix for prefix, category in PREFIXES.items() if category == found.category)
        assert found.glob.startswith(f"ns:{prefix}:")
        assert found.scope is None or found.scope.startswith((f"category:{found.category}", "tag:"))
        assert len(found.glob) <= 3 + 33 * 512
        assert [name for name in OTHERS if glob(found.glob, name)] == []


@fuzzed
@given(_patterns, chances)
def test_the_parser_of_patterns(pattern: str, chance: Random) -> None:
    """Any text is a pattern of one category of one namespace, or refused by name."""
    read(pattern)
    for one in list(further(chance))[1:]:
        at, end = one.randrange(len(pattern) + 1), one.randrange(len(pattern) + 1)
        pattern = pattern[:at] + one.choice(PIECES) + pattern[at if one.random() < 0.6 else max(at, end) :]
        if len(pattern) > 40 or one.random() < 0.2:
            pattern = f"{one.choice(sorted(PREFIXES))}:{pattern[-10:]}"
        note(repr(pattern))
        read(pattern)


@pytest.mark.parametrize("pattern", corpus("patterns"))
def test_kept_patterns(pattern: str) -> None:
    """What once reached too far, or cost too much."""
    read(pattern)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("ns:*", "ns:a", True), ("ns:*", "nsa", False), ("a?c", "abc", True), ("a[bc]d", "acd", True),
        ("a[^b]d", "abd", False), ("a[a-c]", "ab", True), ("a\\*", "a*", True), ("a\\*", "ab", False),
        ("[", "[", False), ("*a*b", "xxaxxb", True), ("", "", True), ("*", "", True), ("a[c-a]", "ab", True),
    ],
)  # fmt: skip
def test_the_measure_itself(pattern: str, text: str, expected: bool) -> None:
    """The glob that judges patterns is one."""
    assert glob(pattern, text) is expected


def test_every_corpus_is_played() -> None:
    """A file that no test reads keeps nothing."""
    readers: dict[str, Callable[..., None]] = {
        "entries": test_kept_entries, "keys": test_kept_keys, "patterns": test_kept_patterns,
    }  # fmt: skip
    assert {path.stem for path in CORPUS.glob("*.txt")} == readers.keys()
    assert all(len(corpus(name)) >= 5 for name in readers)
