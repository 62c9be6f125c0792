"""The scripts repeat lengths and offsets of Python's: each stands in the Lua as the constants say."""

from __future__ import annotations

import pytest

from cache.core import entry, generations, marks, plan, scripts, seen
from cache.core.generations import CATEGORY_RECORD, FENCE_OF_CATEGORY, NO_TOKEN, PROPOSED, TOKEN, CategoryRecord
from cache.core.held import DIGEST
from cache.core.steps import Lua
from telemetry.vocabulary import MissTrigger

OWN = len(entry.PREFIX) + 1
"""Where an entry's own token begins: after prefix and kind."""

FULL = seen.HEADER + seen.SLOTS * seen.SLOT
"""Bytes of a full block."""

RESTART = marks.code_of(MissTrigger.RESTART)

IDENTITY, BIRTH, BEGUN = FENCE_OF_CATEGORY, FENCE_OF_CATEGORY + 8, FENCE_OF_CATEGORY + 16
"""Where the parts of a category's record begin."""


def lua(raw: bytes) -> str:
    """A string of Lua: printable bytes as they are, others by number."""
    return "'" + "".join(chr(byte) if 32 < byte < 127 else f"\\{byte}" for byte in raw) + "'"


def part(name: str, start: int, length: int) -> str:
    """Lua's text for a part of a string, which it counts from 1."""
    return f"string.sub({name}, {start + 1}, {start + length})"


@pytest.mark.parametrize(
    ("script", "fragment"),
    [
        (scripts.MAKE_GENERATIONS, f"#fresh == {CATEGORY_RECORD} and"),
        (scripts.MAKE_GENERATIONS, f"{part('now', IDENTITY, 8)} ~= ARGV[1]"),
        (scripts.MAKE_GENERATIONS, f"{part('now', IDENTITY, 8)} ~= string.rep('\\0', 8)"),
        (scripts.MAKE_GENERATIONS, f"redis.call('PTTL', KEYS[i]) < ARGV[2] * {plan.LEAST}"),
        (scripts.COMMIT, f"#token == {CATEGORY_RECORD} or #token == {len(PROPOSED) + TOKEN}"),
        (scripts.COMMIT, f"#token == {len(PROPOSED) + TOKEN} then token = string.sub(token, {len(PROPOSED) + 1})"),
        (scripts.COMMIT, f"#token == {CATEGORY_RECORD} and {part('token', 0, FENCE_OF_CATEGORY)} or token"),
        (scripts.COMMIT, f"#is == {CATEGORY_RECORD} and {part('is', 0, FENCE_OF_CATEGORY)}"),
        (scripts.COMMIT, f"'GETRANGE', KEYS[key], 0, {OWN + TOKEN - 1}"),
        (scripts.COMMIT, f"#head >= {OWN + TOKEN} and {part('head', 0, len(entry.MAGIC))} == {lua(entry.MAGIC)}"),
        (scripts.COMMIT, f"{part('head', OWN, TOKEN)} or string.rep('\\0', {len(NO_TOKEN)})"),
        (scripts.COMMIT, f"math.floor(string.byte(bytes, {DIGEST.start + 1}) / {256 // seen.BLOCKS})"),
        (scripts.COMMIT, f"birth = {part('record', BIRTH, 8)}"),
        (scripts.COMMIT, f"local place = {BEGUN} + math.floor(number / 8)"),
        (scripts.COMMIT, f"{part('block', 4, seen.HEADER - 4)} ~= birth"),
        (scripts.COMMIT, f"#block > {FULL} or (#block - {seen.HEADER}) % {seen.SLOT} ~= 0"),
        (scripts.COMMIT, f"clock + math.ceil(lifetime / {1000 // seen.TICKS})"),
        (scripts.COMMIT, f"local key = {part('slot', 0, seen.FINGERPRINT)}"),
        (scripts.COMMIT, f"local place = {seen.HEADER + 1} + i % {seen.SLOTS} * {seen.SLOT}"),
        (scripts.COMMIT, f"struct.unpack('>I4', block, place + {seen.SLOT - 4})"),
        (scripts.COMMIT, f"if found > {FULL} then"),
        (scripts.COMMIT, f"if #block < {FULL} and"),
        (scripts.COMMIT, f"for at = {seen.HEADER + 1}, #copy, {seen.SLOT} do"),
        (scripts.COMMIT, f"local copy = string.sub(slot, {seen.SLOT + 1})"),
        (scripts.SWEPT, f"'SETRANGE', KEYS[i], found + {seen.SLOT - 4 - 1}, ARGV[1]"),
        *[
            (script, fragment)
            for script in (scripts.COMMIT, scripts.SWEPT)
            for fragment in (
                f"string.find(block, key, {seen.HEADER + 1}, true)",
                f"while found and (found - {seen.HEADER + 1}) % {seen.SLOT} ~= 0",
            )
        ],
        (
            scripts.MAKE_GENERATIONS,
            f"{part('fresh', 0, marks.PLACE)} .. '\\{RESTART}' .. string.sub(fresh, {TOKEN + 1})",
        ),
        (scripts.COMMIT, f"redis.call('PTTL', KEYS[i]) < lifetime * {plan.LEAST}"),
        (scripts.COMMIT, f"redis.call('PTTL', name) < lifetime * {plan.LEAST}"),
        (scripts.DELETE, f"'GETRANGE', KEYS[i], 0, {OWN - 1}"),
        *[
            (script, fragment)
            for script in (scripts.DELETE, scripts.SWEEP)
            for fragment in (
                f"{part('head', 0, len(entry.MAGIC))} == {lua(entry.MAGIC)}",
                f"string.byte(head, {OWN}) == {entry.TOMBSTONE}",
            )
        ],
        (scripts.SWEEP, f"'GETRANGE', KEYS[i], 0, {DIGEST.stop - 1}"),
        (scripts.SWEEP, f"if ours and #head == {DIGEST.stop} then"),
        (scripts.SWEEP, part("head", DIGEST.start, DIGEST.stop - DIGEST.start)),
    ],
)
def test_a_script_says_what_the_constants_say(script: Lua, fragment: str) -> None:
    """A length or an offset that is changed in Python alone fails here."""
    assert fragment in " ".join(script.text.split())


def test_the_parts_of_a_record_are_where_the_scripts_look() -> None:
    """The offsets above are those that Python takes a record apart by."""
    raw = bytes(range(CATEGORY_RECORD))
    record = CategoryRecord.parse(raw, b"")
    assert record == CategoryRecord(raw[:IDENTITY], raw[IDENTITY:BIRTH], raw[BIRTH:BEGUN], raw[BEGUN:])
    assert entry.own_token(entry.tombstone(raw[:TOKEN])) == raw[:TOKEN]
    assert len(generations.CategoryRecord.fresh(b"12345678", bytes)) == CATEGORY_RECORD
