"""The scripts repeat lengths and offsets of Python's: each stands in the Lua as the constants say."""

from __future__ import annotations

import pytest

from cache.core import entry, generations, scripts, seen
from cache.core.generations import CATEGORY_RECORD, FENCE_OF_CATEGORY, NO_TOKEN, TOKEN, CategoryRecord
from cache.core.steps import Lua

OWN = len(entry.PREFIX) + 1
"""Where an entry's own token begins: after prefix and kind."""

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
        (scripts.COMMIT, f"if length == {CATEGORY_RECORD} then length = {FENCE_OF_CATEGORY} end"),
        (scripts.COMMIT, f"redis.pcall('GETRANGE', entry, 0, {OWN + TOKEN - 1})"),
        (scripts.COMMIT, f"#head == {OWN + TOKEN} and {part('head', 0, len(entry.PREFIX))} == {lua(entry.PREFIX)}"),
        (scripts.COMMIT, f"is = {part('head', OWN, TOKEN)}"),
        (scripts.COMMIT, f"is = string.rep('\\0', {len(NO_TOKEN)})"),
        (scripts.COMMIT, part("record", BIRTH, 8)),
        (scripts.COMMIT, f"local place = {BEGUN} + math.floor(number / 8)"),
        (scripts.COMMIT, f"'GETRANGE', block, 1, {seen.HEADER - 1}"),
        (scripts.COMMIT, f"and 'P' or {lua(seen.WHOLE)}) .. birth .. string.rep('\\0', 64)"),
        (scripts.COMMIT, f"'SETBIT', block, {8 * seen.HEADER} + position"),
        (scripts.DELETE, f"'GETRANGE', KEYS[i], 0, {OWN - 1}"),
        (scripts.DELETE, f"head ~= {lua(entry.tombstone(NO_TOKEN)[:OWN])}"),
        (scripts.SWEEP, f"'GETRANGE', KEYS[i], 0, {OWN - 1}"),
        (scripts.SWEEP, f"head ~= {lua(entry.tombstone(NO_TOKEN)[:OWN])}"),
    ],
)
def test_a_script_says_what_the_constants_say(script: Lua, fragment: str) -> None:
    """A length or an offset that is changed in Python alone fails here."""
    assert fragment in script.text


def test_the_parts_of_a_record_are_where_the_scripts_look() -> None:
    """The offsets above are those that Python takes a record apart by."""
    raw = bytes(range(CATEGORY_RECORD))
    record = CategoryRecord.parse(raw, b"")
    assert record == CategoryRecord(raw[:IDENTITY], raw[IDENTITY:BIRTH], raw[BIRTH:BEGUN], raw[BEGUN:])
    assert entry.own_token(entry.tombstone(raw[:TOKEN])) == raw[:TOKEN]
    assert len(generations.CategoryRecord.fresh(b"12345678", bytes)) == CATEGORY_RECORD
