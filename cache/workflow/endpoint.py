"""Embeddings from any endpoint that speaks OpenAI's protocol, over the standard library.

Source: OpenAI's API reference, "Create embeddings".
"""

from __future__ import annotations

import http.client
import json
import math
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from cache.errors import ModelUnavailableError

MOST_INPUTS = 256
"""Texts of one request; services refuse more than a few hundred to a few thousand."""

LARGEST_ANSWER = 64 << 20
"""Bytes; an answer beyond that is refused."""


class OpenAICompatible:
    """Any endpoint that speaks OpenAI's ``POST {url}/embeddings``.

    Args:
        url: base URL, http or https, for example ``http://localhost:11434/v1``.
        model: the model's name there.
        dimension: length of its vectors.
        api_key: sent as a bearer token to that URL alone; never shown.
        timeout_s: seconds > 0 that the endpoint may be silent.

    Raises:
        ModelUnavailableError: a URL that is none; from ``embed``: no answer, a redirect, or an answer of another shape.
    """

    provider, remote = "openai", True

    def __init__(self, url: str, model: str, dimension: int, *, api_key: str = "", timeout_s: float = 30.0) -> None:
        self._url, self._api_key, self._timeout = f"{_checked(url).rstrip('/')}/embeddings", api_key, timeout_s
        self._opener = urllib.request.build_opener(_NoRedirect)
        self.name, self.dimension = model, dimension

    def embed(self, texts: Sequence[str], role: str) -> Any:
        """Vectors of ``texts``: float32, shape (n, dimension); lists of floats where numpy is not installed."""
        rows: list[list[float]] = []
        for start in range(0, len(texts), MOST_INPUTS):
            rows += self._ask(list(texts[start : start + MOST_INPUTS]))
        try:
            import numpy
        except ImportError:
            return rows
        return numpy.asarray(rows, dtype=numpy.float32).reshape(len(rows), self.dimension)

    def _ask(self, texts: list[str]) -> list[list[float]]:
        headers = {"Content-Type": "application/json"}
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        body = json.dumps({"model": self.name, "input": texts, "encoding_format": "float"}).encode()
        request = urllib.request.Request(self._url, body, headers)  # noqa: S310 - the scheme was checked
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                raw = answer.read(LARGEST_ANSWER + 1)
            if len(raw) > LARGEST_ANSWER:
                raise ValueError
            data = sorted(json.loads(raw)["data"], key=lambda item: item["index"])
            return self._rows([item["embedding"] for item in data], len(texts))
        except urllib.error.HTTPError as error:
            error.close()
            raise ModelUnavailableError(f"the embedding endpoint answered {error.code}") from None
        except (OSError, ValueError, LookupError, TypeError, RecursionError, http.client.HTTPException) as error:
            raise ModelUnavailableError(f"the embedding endpoint: {type(error).__name__}") from None

    def _rows(self, vectors: list[Any], count: int) -> list[list[float]]:
        """The vectors as they were asked for.

        Raises:
            ModelUnavailableError: another number of them, another length, or no finite numbers.
        """
        rows = [[float(x) for x in vector] for vector in vectors]
        if len(rows) != count or any(len(row) != self.dimension for row in rows):
            raise ModelUnavailableError("the embedding endpoint gave other vectors than were asked for")
        if not all(math.isfinite(x) for row in rows for x in row):
            raise ModelUnavailableError("the embedding endpoint gave vectors that are not finite")
        return rows


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the bearer token, and lose the body, to another place."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _checked(url: str) -> str:
    """The URL.

    Raises:
        ModelUnavailableError: not http or https, without a host, or one that carries a password.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
        _ = parts.port
    except ValueError:
        good = False
    if not good:
        raise ModelUnavailableError("an embedding endpoint's URL is http(s)://host[:port]/path, without a password")
    return url
