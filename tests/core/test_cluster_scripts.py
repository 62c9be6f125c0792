"""The scripts of a cluster repeat lengths and offsets of Python's: each stands in the Lua as the constants say."""

from __future__ import annotations

import pytest

from cache.core import cluster_scripts as scripts
from cache.core import entry, plan
from cache.core.generations import CATEGORY_RECORD, FENCE_OF_CATEGORY, NO_TOKEN, PROPOSED, TOKEN
from cache.core.scripts import NOTE
from cache.core.steps import Lua

OWN, BIRTH, BEGUN = len(entry.PREFIX) + 1, FENCE_OF_CATEGORY + 8, FENCE_OF_CATEGORY + 16


@pytest.mark.parametrize(
    ("script", "fragment"),
    [
        (scripts.CHECK, f"#token == {CATEGORY_RECORD} or #token == {len(PROPOSED) + TOKEN}"),
        (scripts.CHECK, f"#token == {CATEGORY_RECORD} and string.sub(token, 1, {FENCE_OF_CATEGORY}) or token"),
        (scripts.CHECK, f"#token == {FENCE_OF_CATEGORY} and is then is = #is == {CATEGORY_RECORD}"),
        (scripts.CHECK, f"redis.call('PTTL', KEYS[1]) < ARGV[2] * {plan.LEAST}"),
        (scripts.PUT, f"'GETRANGE', KEYS[1], 0, {OWN + TOKEN - 1}"),
        (scripts.PUT, f"#head == {OWN + TOKEN} and string.sub(head, 1, {len(entry.MAGIC)}) == '\\255g'"),
        (scripts.PUT, f"string.sub(head, {OWN + 1}, {OWN + TOKEN}) or string.rep('\\0', {len(NO_TOKEN)})"),
        (scripts.MARK, NOTE),
        (scripts.BEGUN, f"string.sub(record, {BIRTH + 1}, {BIRTH + 8}) ~= ARGV[1]"),
        (scripts.BEGUN, f"local place = {BEGUN} + math.floor(number / 8)"),
    ],
)
def test_the_lua_says_what_the_constants_say(script: Lua, fragment: str) -> None:
    """An offset that moved would let old values back in."""
    assert fragment in script.text


def test_a_sweep_waits_longer_than_a_write_may_be_on_its_way() -> None:
    """The comparison may take a lease, and the entry may come another one later."""
    assert scripts.SETTLE_S > 2 * scripts.LEASE_S
    assert scripts.LEASE_US == scripts.LEASE_S * 1e6
