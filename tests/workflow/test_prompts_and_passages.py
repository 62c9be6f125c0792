"""Prompts, passages and ranking: the same in gives the same out, and a change is seen."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.kept import AwaitedKept, Kept

from cache import AsyncCache, Cache
from cache.workflow.passages import nearest, split
from cache.workflow.prompts import AsyncPromptAssembler, PromptAssembler, PromptTemplate

TEMPLATE = PromptTemplate("answer", "1", "$messages\n--\n$question")


def test_a_prompt_is_assembled_from_messages_and_texts() -> None:
    """Messages stand as role and content, lists line by line."""
    values = {"messages": [{"role": "user", "content": "hi"}, "note"], "question": "why?"}

    assert PromptAssembler(TEMPLATE).assemble(values) == "user: hi\nnote\n--\nwhy?"


class Counted(PromptTemplate):
    """A template whose text tells how often it was read."""

    reads = 0

    def __getattribute__(self, name: str) -> Any:
        if name == "text":
            Counted.reads += 1
        return super().__getattribute__(name)


def test_the_same_context_is_filled_once(client: Any) -> None:
    """The order of the values does not matter; another value or version of the template is filled anew."""
    Counted.reads = 0
    one, two = (PromptAssembler(Counted("answer", version, TEMPLATE.text), client) for version in ("1", "2"))
    same = [one.assemble({"messages": "m", "question": "q"}), one.assemble({"question": "q", "messages": "m"})]

    assert (same, Counted.reads) == (["m\n--\nq"] * 2, 1)
    assert one.assemble({"messages": "m", "question": "other"}) == "m\n--\nother"
    assert two.assemble({"messages": "m", "question": "q"}) == "m\n--\nq"
    assert Counted.reads == 3


def test_the_twin_assembles_the_same(glasscache_url: str) -> None:
    """Over both kinds of clients, what one face filled is the other's hit; without a cache or a key it is filled."""
    values, keyless = {"messages": "m", "question": "q"}, {"messages": object, "question": "q"}
    Counted.reads, template, kept = 0, Counted("answer", "1", TEMPLATE.text), Kept()
    patient = {"read_deadline": 2, "write_deadline": 2}
    with Cache.from_url(glasscache_url, **patient) as layer:
        prompts = [PromptAssembler(template, client).assemble(values) for client in (layer, kept)]

    async def main() -> list[str]:
        async with AsyncCache.from_url(glasscache_url, **patient) as layer:
            twins = [AsyncPromptAssembler(template, client) for client in (layer, AwaitedKept(kept.values))]
            hits = [await twin.assemble(values) for twin in twins]
            assert Counted.reads == 2
            assert [await twin.assemble(keyless) for twin in twins] == [f"{object}\n--\nq"] * 2
            return [*hits, await AsyncPromptAssembler(template).assemble(values)]

    assert [*prompts, *asyncio.run(main())] == ["m\n--\nq"] * 5


def test_values_alike_are_not_the_same(client: Any) -> None:
    """1, "1", True and 1.0 fill prompts of their own."""
    assembler = PromptAssembler(PromptTemplate("one", "1", "$x"), client)

    assert [assembler.assemble({"x": value}) for value in (1, "1", True, 1.0)] == ["1", "1", "True", "1.0"]


def test_a_value_without_a_key_is_filled_and_not_kept(client: Any) -> None:
    """A path, say, has no stable encoding; the prompt is there all the same."""
    assembler = PromptAssembler(PromptTemplate("one", "1", "$x"), client)

    assert [assembler.assemble({"x": Path("/a")}) for _ in range(2)] == ["/a", "/a"]


def test_a_place_without_a_value_is_the_callers_error(client: Any) -> None:
    """The template's KeyError comes out, with and without a cache."""
    for cache in (client, None):
        with pytest.raises(KeyError):
            PromptAssembler(TEMPLATE, cache).assemble({"messages": []})


@given(st.text(alphabet=st.sampled_from("ab \n\t\r\x0c"), max_size=400), st.integers(1, 50))
def test_passages_are_the_text_in_order(text: str, size: int) -> None:
    """Cutting twice gives the same; first lines are true, and no passage is blank or much longer than asked."""
    passages = split("f", text, size)
    lines = text.splitlines(keepends=True)

    assert passages == split("f", text, size)
    assert [passage.line for passage in passages] == sorted({passage.line for passage in passages})
    for passage in passages:
        assert passage.text.strip()
        assert len(passage.text) <= 2 * size
        assert passage.text.startswith(lines[passage.line - 1][:size])


def test_no_line_is_lost() -> None:
    """The passages of real source hold each of its lines that says anything, and end between lines."""
    text = Path(json.__file__).read_text()
    passages = split("json", text)

    assert len(passages) > 5
    assert "".join("".join(passage.text.split()) for passage in passages) == "".join(text.split())
    assert all(passage.text.endswith("\n") for passage in passages[:-1])


def test_a_change_leaves_the_other_passages(tmp_path: Path) -> None:
    """A line at the end of a file changes its last passage only, so that one vector is computed again."""
    text = Path(json.__file__).read_text()
    before, after = ({passage.text for passage in split("f", changed)} for changed in (text, text + "# more\n"))

    assert len(after - before) == 1


def test_ranking_is_by_cosine() -> None:
    """The nearest direction first, whatever the length; equal ones in their order; a zero vector is no trouble."""
    vectors = [numpy.array(v, dtype="float32") for v in ([0, 0], [10, 0.1], [0, 5], [0.1, 0], [1, 1])]

    assert nearest([1, 0], vectors, 3) == [3, 1, 4]
    assert nearest([0, 0], vectors, 2) == [0, 1]
    assert nearest([1, 0], [], 3) == []
    assert len(nearest([1, 0], vectors, 99)) == 5
