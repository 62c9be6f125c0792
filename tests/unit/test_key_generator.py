"""The specification's key functions, as the plain client's users call them."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.core.addresses import address
from cache.core.policies import PolicyTable
from cache.errors import CacheKeyError
from cache.key_generator import (
    generate_context_key,
    generate_embedding_key,
    generate_prompt_key,
    generate_tool_key,
    hash_dict,
)

params = st.dictionaries(
    st.text(max_size=5),
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2),
)


def test_keys_have_the_specifications_patterns() -> None:
    """Context, embedding, tool and prompt, each with its prefix."""
    assert generate_context_key("task-abc123", 5) == "context:task-abc123:5"
    assert generate_embedding_key("hello") == "embed:" + hashlib.sha256(b"hello").hexdigest()[:16]
    assert re.fullmatch(r"tool:read_file:[0-9a-f]{16}", generate_tool_key("read_file", {"path": "a"}))
    assert generate_prompt_key("0123456789abcdef") == "prompt:0123456789abcdef"


@given(params, st.randoms(use_true_random=False))
def test_the_order_of_parameters_does_not_matter(given_params: dict[str, Any], rand: Any) -> None:
    """Any order of the same parameters is the same key."""
    items = list(given_params.items())
    rand.shuffle(items)
    assert hash_dict(dict(items)) == hash_dict(given_params)
    assert generate_tool_key("t", dict(items)) == generate_tool_key("t", given_params)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": "1"}), ({"a": 1}, {"a": True}), ({"a": 1}, {"a": 1.0}), ({"a": None}, {}),
        ({"a": [1, 2]}, {"a": [2, 1]}), ({"a": [1]}, {"a": (1,)}), ({"a": 1, "b": 2}, {"a": 2, "b": 1}),
        ({"a": "b,c"}, {"a": "b", "c": ""}), ({"a:b": "c"}, {"a": "b:c"}), ({"1": 1}, {1: 1}), ({"a": []}, {"a": {}}),
        ({"a": {"b": 1}}, {"a": 1, "b": 1}), ({"a": 0.0}, {"a": -0.0}), ({"a": "e\u0301"}, {"a": "é"}),
    ],
)  # fmt: skip
def test_look_alike_parameters_are_different_keys(one: dict[Any, Any], other: dict[Any, Any]) -> None:
    """A value, its type, its place and its name all count."""
    assert hash_dict(one) != hash_dict(other)
    assert generate_tool_key("t", one) != generate_tool_key("t", other)


def test_a_digest_is_16_hex_characters() -> None:
    """Of no parameters too."""
    assert all(re.fullmatch("[0-9a-f]{16}", hash_dict(given_params)) for given_params in ({}, {"a": {"b": [1]}}))


@pytest.mark.parametrize("part", ["a:b", "a*", "a b", "a\r\nDEL x", "{a}", "é", "%3A", "x" * 1000])
def test_no_part_reaches_into_another(part: str) -> None:
    """A colon, glob, space or line end in a part never reaches the key as it is, nor does a part without end."""
    for key, colons in (
        (generate_context_key(part, 1), 2),
        (generate_tool_key(part, {}), 2),
        (generate_prompt_key(part), 1),
    ):
        assert key.count(":") == colons
        assert re.fullmatch(r"[A-Za-z0-9\-._%~:]{1,300}", key)


@pytest.mark.parametrize("bad", ["", None, 1, b"a", "\ud800", ["a"]])
def test_parts_that_are_no_text_are_refused(bad: Any) -> None:
    """They are CacheKeyErrors, which are ValueErrors."""
    for call in (
        lambda: generate_context_key(bad, 1),
        lambda: generate_tool_key(bad, {}),
        lambda: generate_prompt_key(bad),
    ):
        with pytest.raises(CacheKeyError) as caught:
            call()
        assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("turn", [-1, True, False, 1.0, "1", None, 2**63, 10**400])
def test_turns_that_are_no_integer_from_0_up_are_refused(turn: Any) -> None:
    """A number of any size but a turn's is a CacheKeyError."""
    with pytest.raises(CacheKeyError):
        generate_context_key("task", turn)


@pytest.mark.parametrize("text", [None, 1, b"hello", ("a",), "\ud800"])
def test_what_is_no_text_has_no_embedding_key(text: Any) -> None:
    """Bytes and tuples are refused here, though the layer takes other keys."""
    with pytest.raises(CacheKeyError):
        generate_embedding_key(text)


def test_an_empty_text_has_an_embedding_key() -> None:
    """Its digest is that of no bytes."""
    assert generate_embedding_key("") == "embed:e3b0c44298fc1c14"


@pytest.mark.parametrize(
    "bad",
    [{"a": object()}, {"a": float("nan")}, {"a": "\ud800"}, OrderedDict(a=1), MappingProxyType({"a": 1}), {"a": len}],
)
def test_parameters_without_a_stable_meaning_are_refused(bad: Any) -> None:
    """They are CacheKeyErrors, never a key that changes from process to process."""
    with pytest.raises(CacheKeyError):
        hash_dict(bad)
    with pytest.raises(CacheKeyError):
        generate_tool_key("t", bad)


def test_the_layers_names_are_the_same() -> None:
    """What the plain client writes under a key is where the layer looks."""
    table = PolicyTable()
    for category, key, name in (
        ("context", ("task:1", 5), generate_context_key("task:1", 5)),
        ("embedding", "hello", generate_embedding_key("hello")),
        ("tool", ("grep", {"a": 1}), generate_tool_key("grep", {"a": 1})),
        ("prompt", "abc", generate_prompt_key("abc")),
    ):
        policy = table[category]
        assert address("", category, policy.prefix, policy.suffix, key).name == name


def test_keys_are_the_same_in_every_process() -> None:
    """Whatever seed the process gives to its own hashes of text."""
    root = Path(__file__).resolve().parents[2]
    program = "from cache.key_generator import hash_dict; print(hash_dict({'a': {'x', 'y', 'z'}, 'b': 1}))"
    made = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("0", "1", "2")
    }
    assert made == {hash_dict({"b": 1, "a": {"z", "y", "x"}})}
