"""Names in Redis: no part reaches into another, and every key has its own digest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from enum import IntEnum
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.core import keys
from cache.core.addresses import Address, address
from cache.core.keys import escape
from cache.core.policies import PolicyTable
from cache.core.shelves import LONGEST, REMEMBERED, Shelf
from cache.errors import CacheKeyError

SAFE = re.compile(r"~[0-9a-f]{64}|(?:[A-Za-z0-9\-._]|%[0-9A-F]{2})+")


class Turn(IntEnum):
    FIRST = 1


def context(key: Any, namespace: str = "") -> Address:
    return address(namespace, "context", "context", keys.context_suffix, key)


def tool(key: Any) -> Address:
    return address("", "tool", "tool", keys.tool_suffix, key)


@given(st.text(min_size=1, max_size=80))
def test_an_escaped_part_is_safe_and_can_be_read_back(part: str) -> None:
    """It holds no colon, glob or space, and gives the text again unless it had to become a digest."""
    escaped = escape(part)
    assert SAFE.fullmatch(escaped)
    assert escaped.startswith("~") or unquote_to_bytes(escaped).decode() == part


@given(st.text(min_size=1), st.text(min_size=1))
def test_different_parts_escape_differently(one: str, other: str) -> None:
    """No two texts share an escaped form."""
    assert (escape(one) == escape(other)) == (one == other)


@pytest.mark.parametrize(
    ("part", "escaped"),
    [
        ("task-abc_1.2", "task-abc_1.2"),
        ("a:b", "a%3Ab"),
        ("a*?[b]\\", "a%2A%3F%5Bb%5D%5C"),
        ("a%3Ab", "a%253Ab"),
        ("~x", "%7Ex"),
        ("é\r\n\0 {}", "%C3%A9%0D%0A%00%20%7B%7D"),
        ("x" * 200, "x" * 200),
        ("x" * 201, "~" + hashlib.sha256(b"x" * 201).hexdigest()),
        (":" * 67, "~" + hashlib.sha256(b":" * 67).hexdigest()),
    ],
)
def test_parts_escape_as_written_down(part: str, escaped: str) -> None:
    """All but letters, digits, dash, dot and underscore become percent codes; what gets over 200 becomes a digest."""
    assert escape(part) == escaped


@pytest.mark.parametrize("part", ["", "\ud800", None, 1, b"a", ["a"], ("a",)])
def test_parts_that_are_no_text_are_refused(part: Any) -> None:
    """Empty text, lone surrogates and other types are CacheKeyErrors, wherever a part is taken."""
    calls: tuple[Callable[[Any], Any], ...] = (
        escape,
        lambda bad: context((bad, 1)),
        lambda bad: tool((bad, {})),
        lambda bad: keys.scope_name("", f"tag:{bad}") if isinstance(bad, str) else escape(bad),
    )
    for call in calls:
        with pytest.raises(CacheKeyError):
            call(part)


def test_names_have_the_categories_patterns() -> None:
    """The namespace, when there is one, stands before the prefix."""
    assert context(("task-1", 5)).name == "context:task-1:5"
    assert context(("task:1", 0), "shop").name == "shop:context:task%3A1:0"
    assert re.fullmatch(r"tool:read_file:[0-9a-f]{16}", tool(("read_file", {"a": 1})).name)


def test_a_context_cannot_pose_as_another() -> None:
    """A task's id with a colon and a number in it does not reach another task's turn."""
    assert context(("a:1", 2)).name != context(("a", 1)).name
    assert context(("a:1", 2)).name.count(":") == 2


@pytest.mark.parametrize(
    "key", ["a", ("a",), ("a", 1, 2), ("a", -1), ("a", True), ("a", "1"), ("a", 1.0), ("a", None), None, 5, {"a": 1}]
)
def test_what_is_no_context_is_refused(key: Any) -> None:
    """A context's key is a task and an integer turn from 0 up."""
    with pytest.raises(CacheKeyError):
        context(key)


def test_turns_are_bounded() -> None:
    """The largest turn is 2**63 - 1; one with thousands of digits is a CacheKeyError too."""
    assert context(("a", keys.LAST_TURN)).name == "context:a:9223372036854775807"
    for turn in (keys.LAST_TURN + 1, 10**5000):
        with pytest.raises(CacheKeyError, match="turn"):
            context(("a", turn))


@pytest.mark.parametrize("key", ["a", ("a",), ("a", {}, {}, {}), None, {}, ("", {}), (1, {}), ("a", {"x": object()})])
def test_what_is_no_tool_is_refused(key: Any) -> None:
    """A tool's key is its name, its parameters and, at most, qualifiers."""
    with pytest.raises(CacheKeyError):
        tool(key)


def test_a_tools_parameters_count_by_value_and_type_not_by_order() -> None:
    """Order never matters, a type or a qualifier always does."""
    assert tool(("t", {"a": 1, "b": 2})) == tool(("t", {"b": 2, "a": 1}))
    different = [("t", {"a": 1}), ("t", {"a": "1"}), ("t", {"a": 1.0}), ("t", {"a": True}), ("t", {"a": 1}, "v2")]
    assert len({tool(key).name for key in different}) == len({tool(key).digest for key in different}) == 5


def test_lists_stand_for_tuples_where_the_shape_is_fixed() -> None:
    """What came through JSON finds the same context and tool; elsewhere lists and tuples differ."""
    assert context(["a", 1]) == context(("a", 1))
    assert tool(["a", {"x": 1}]) == tool(("a", {"x": 1}))
    assert keys.digest_suffix(["a"]) != keys.digest_suffix(("a",))


def test_embeddings_are_named_by_their_texts_digest() -> None:
    """The first 16 hex characters of SHA-256, as the specification says; a tuple is no text."""
    assert keys.embedding_suffix("hello") == hashlib.sha256(b"hello").hexdigest()[:16]
    assert keys.embedding_suffix(("m", "query", 8, "hello")) != keys.embedding_suffix("hello")
    with pytest.raises(CacheKeyError):
        keys.embedding_suffix("\ud800")


def test_prompts_are_named_by_their_hash_as_it_is() -> None:
    """Text stands in the name, any other value as its digest."""
    assert keys.prompt_suffix("0123abcd") == "0123abcd"
    assert keys.prompt_suffix(("a", 1)) == keys.digest_suffix(("a", 1))


def test_digests_bind_namespace_category_and_key() -> None:
    """The same key in another namespace or category, or split elsewhere, is another digest of 32 bytes."""
    made = [
        address(namespace, category, "p", keys.digest_suffix, key).digest
        for namespace, category, key in [
            ("", "c", "k"), ("n", "c", "k"), ("", "cd", "k"), ("c", "", "k"), ("", "c", "kk"), ("n", "cd", b"k"),
        ]
    ]  # fmt: skip
    assert len(set(made)) == len(made)
    assert {len(digest) for digest in made} == {32}


def test_a_digest_never_changes() -> None:
    """The name and digest of a known key are pinned: another process, version or machine must find it."""
    where = context(("task-1", 5), "shop")
    canonical = b"U2:s6:task-1i1:5"
    assert where.digest == hashlib.sha256(b"4:shop7:context%d:%b" % (len(canonical), canonical)).digest()
    assert where.short == where.digest.hex()[:16]


def test_an_enum_is_not_the_number_it_holds() -> None:
    """Names that meet by chance still have different digests, so no entry is taken for the other's."""
    assert context(("a", Turn.FIRST)).name == context(("a", 1)).name
    assert context(("a", Turn.FIRST)).digest != context(("a", 1)).digest


def test_bookkeeping_has_names_of_its_own() -> None:
    """Generations, blocks of the seen-filter and locks begin with reserved words."""
    assert keys.scope_name("", "category:tool") == "gen:category:tool"
    assert keys.scope_name("shop", "tag:task:a:b") == "shop:gen:tag:task%3Aa%3Ab"
    assert keys.seen_name("shop", "tool", 10) == "shop:seen:tool:0a"
    assert keys.lock_name(context(("a", 1)).digest, "") == f"lock:{context(('a', 1)).digest.hex()[:32]}"


def test_tags_follow_from_keys() -> None:
    """A context belongs to its task, a result to its tool, unescaped."""
    assert keys.context_tags(("a:b", 1)) == ("task:a:b",)
    assert keys.tool_tags(("grep", {})) == ("tool:grep",)


@pytest.mark.parametrize("namespace", ["a", "A-1._x", "0", "x" * 64, "generation"])
def test_namespaces_that_are_taken_as_they_are(namespace: str) -> None:
    """1 to 64 letters, digits, dashes, dots and underscores, a letter or digit first."""
    assert keys.check_namespace(namespace) == namespace


@pytest.mark.parametrize(
    "namespace",
    [
        "",
        "x" * 65,
        "-a",
        ".a",
        "a:b",
        "a*",
        "a b",
        "a\n",
        "é",
        "gen",
        "seen",
        "lock",
        "fleet",
        "prompt",
        "embed",
        None,
        1,
        b"a",
    ],
)
def test_namespaces_that_are_refused(namespace: Any) -> None:
    """What could reach into other names, or is a word of ours, is a CacheKeyError."""
    with pytest.raises(CacheKeyError):
        keys.check_namespace(namespace)


@pytest.mark.parametrize("tag", ["a", "task:a", "é*\n", "x" * keys.LONGEST_TAG])
def test_tags_that_are_taken(tag: str) -> None:
    """Any text of 1 to 512 characters."""
    assert keys.check_tag(tag) == tag


@pytest.mark.parametrize("tag", ["", "x" * (keys.LONGEST_TAG + 1), "\ud800", None, 1, b"a", ("a",)])
def test_tags_that_are_refused(tag: Any) -> None:
    """Empty, longer, no Unicode or no text: a CacheKeyError."""
    with pytest.raises(CacheKeyError):
        keys.check_tag(tag)


def test_text_is_checked() -> None:
    """Text goes through as it is, anything else is a CacheKeyError."""
    assert keys.check_text("") == ""
    with pytest.raises(CacheKeyError, match="bytes"):
        keys.check_text(b"a")


def test_what_is_remembered_is_told_by_type_too() -> None:
    """A key that equals another one of another type has an address of its own, asked for in any order."""
    shelf = Shelf("", PolicyTable()["static"])
    one = IntEnum("N", {"ONE": 1}).ONE
    alike: list[Any] = [1, True, 1.0, "1", *(("a", n) for n in (1, True, 1.0, one))]
    alike += [("a", {"n": n}) for n in (1, True, 1.0, one, 0, False, 0.0, -0.0, "1", b"1", None)]
    alike += [("a", {1: 2}), ("a", {True: 2}), ("a", {"n": [1]}), ("a", (("n", 1),)), ("a", {})]
    first = [shelf.want(key).address for key in alike]
    assert first == [address("", "static", "static", keys.digest_suffix, key) for key in alike]
    assert [shelf.want(key).address for key in reversed(alike)] == first[::-1]
    assert len({one.digest for one in first}) == len(alike)


def test_what_is_remembered_is_bounded() -> None:
    """However many keys are asked for, each is right and few are kept."""
    shelf = Shelf("shop", PolicyTable()["prompt"])
    for n in range(3 * REMEMBERED):
        assert shelf.want(f"k{n}").address == address("shop", "prompt", "prompt", keys.prompt_suffix, f"k{n}")
        assert len(shelf._remembered) <= REMEMBERED
    assert shelf.want("x" * (LONGEST + 1)).address.name.startswith("shop:prompt:~")
    assert "x" * (LONGEST + 1) not in shelf._remembered


@given(
    st.tuples(st.text(min_size=1), st.dictionaries(st.text(), st.integers()))
    | st.tuples(st.text(min_size=1), st.text(), st.none())
)
def test_a_tools_name_is_made_from_its_bytes(key: tuple[Any, ...]) -> None:
    """The short cut over the canonical bytes gives the name that the suffix gives."""
    assert tool(key).name == f"tool:{keys.tool_suffix(key)}"
