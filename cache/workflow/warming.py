"""Warming: the answers to common questions are made before anybody asks."""

from __future__ import annotations

from collections.abc import Sequence

from cache.workflow.embeddings import CachedEmbeddings


def warm_queries(embeddings: CachedEmbeddings, questions: Sequence[str]) -> int:
    """Embed common questions; one that is there costs a round trip and no model. Returns how many there are."""
    for question in questions:
        embeddings.query(question)
    return len(questions)


def warm_passages(embeddings: CachedEmbeddings, texts: Sequence[str], batch: int = 64) -> int:
    """Embed passages in batches of ``batch``; returns how many there are."""
    for start in range(0, len(texts), batch):
        embeddings.passages(texts[start : start + batch])
    return len(texts)
