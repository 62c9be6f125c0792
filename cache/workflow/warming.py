"""Warming: the vectors of common questions and passages are made before anybody asks."""

from __future__ import annotations

from collections.abc import Sequence

from cache.workflow.embeddings import CachedEmbeddings, Role


def warm_queries(embeddings: CachedEmbeddings, questions: Sequence[str], batch: int = 64) -> int:
    """Embed common questions; those that are there cost a round trip a batch and no model.

    Args:
        batch: texts that go to the model together, >= 1.

    Returns:
        How many questions there are.
    """
    return _warm(embeddings, questions, Role.QUERY, batch)


def warm_passages(embeddings: CachedEmbeddings, texts: Sequence[str], batch: int = 64) -> int:
    """Embed passages, as ``warm_queries`` does questions."""
    return _warm(embeddings, texts, Role.PASSAGE, batch)


def _warm(embeddings: CachedEmbeddings, texts: Sequence[str], role: Role, batch: int) -> int:
    for start in range(0, len(texts), batch):
        embeddings.warm(texts[start : start + batch], role)
    return len(texts)
