"""Embeddings over HTTP, against a real server: what is sent, what is refused, and where the token goes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import numpy
import pytest

from cache.errors import ModelUnavailableError
from cache.workflow.embeddings import CachedEmbeddings, OpenAICompatible

TOKEN = "sk-canary"


class Service:
    """An embedding service on the loopback: each text's vector is its length and its place.

    Args:
        answer: what it answers a request with instead: status, headers and body.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str], Any]] = []
        self.answer: Callable[[Any], tuple[int, dict[str, str], bytes]] = self.vectors
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service.seen.append((self.path, dict(self.headers), body))
                status, headers, data = service.answer(body)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self) -> None:
                service.seen.append((self.path, dict(self.headers), None))
                self.send_error(404)

            def log_message(self, *_: Any) -> None:
                """Be quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def vectors(self, body: Any) -> tuple[int, dict[str, str], bytes]:
        """What a service answers, in another order than it was asked."""
        items = [{"index": i, "embedding": [len(text), i]} for i, text in enumerate(body["input"])]
        return 200, {}, json.dumps({"data": items[::-1]}).encode()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


@pytest.fixture
def service() -> Iterator[Service]:
    """A service of the test's own."""
    with Service() as running:
        yield running


def test_texts_are_sent_and_vectors_come_back_in_order(service: Service) -> None:
    """One request for a batch, with model and token; float32 vectors in the texts' order."""
    vectors = OpenAICompatible(service.url, "small", 2, api_key=TOKEN).embed(["a", "bbb", "cc"], "passage")

    assert (vectors.dtype, vectors.tolist()) == (numpy.float32, [[1, 0], [3, 1], [2, 2]])
    [(path, headers, body)] = service.seen
    assert path == "/v1/embeddings"
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert body == {"model": "small", "input": ["a", "bbb", "cc"], "encoding_format": "float"}


def test_large_batches_are_cut(service: Service) -> None:
    """600 texts go in requests of at most 256, and come back as one array."""
    texts = ["x" * (n % 7 + 1) for n in range(600)]
    vectors = OpenAICompatible(service.url, "small", 2).embed(texts, "query")

    assert [len(body["input"]) for _, _, body in service.seen] == [256, 256, 88]
    assert vectors[:, 0].tolist() == [len(text) for text in texts]
    assert "Authorization" not in service.seen[0][1]


WRONG: tuple[tuple[int, bytes], ...] = (
    (500, b"{}"),
    (401, b"sk-canary is wrong"),
    (200, b""),
    (200, b"not json"),
    (200, b"[" * 100_000),
    (200, b"{}"),
    (200, b"[]"),
    (200, b'{"data": null}'),
    (200, b'{"data": [1]}'),
    (200, b'{"data": []}'),
    (200, b'{"data": [{"index": 0, "embedding": null}]}'),
    (200, b'{"data": [{"index": 0, "embedding": [1]}]}'),
    (200, b'{"data": [{"index": 0, "embedding": [1, 2, 3]}]}'),
    (200, b'{"data": [{"index": 0, "embedding": ["x", 2]}]}'),
    (200, b'{"data": [{"index": 0, "embedding": [NaN, 2]}]}'),
    (200, b'{"data": [{"index": 0, "embedding": [1, 2]}, {"index": 1, "embedding": [1, 2]}]}'),
)


@pytest.mark.parametrize(("status", "body"), WRONG)
def test_wrong_answers_are_a_named_error(service: Service, status: int, body: bytes) -> None:
    """Whatever the service answers, the error is ours, and says nothing that was sent or received."""
    service.answer = lambda _: (status, {}, body)

    with pytest.raises(ModelUnavailableError) as caught:
        OpenAICompatible(service.url, "small", 2, api_key=TOKEN).embed(["my secret text"], "query")
    assert "canary" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_cut_answer_is_a_named_error(service: Service) -> None:
    """A body shorter than was announced."""
    service.answer = lambda _: (200, {"Content-Length": "500"}, b'{"data": [')

    with pytest.raises(ModelUnavailableError):
        OpenAICompatible(service.url, "small", 2, timeout_s=5).embed(["a"], "query")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_the_token_stays(service: Service, status: int) -> None:
    """Another place is never asked, least of all with the token."""
    with Service() as other:
        service.answer = lambda _: (status, {"Location": f"{other.url}/embeddings"}, b"")

        with pytest.raises(ModelUnavailableError, match=str(status)):
            OpenAICompatible(service.url, "small", 2, api_key=TOKEN).embed(["a"], "query")
        assert other.seen == []


def test_a_silent_service_is_left_after_the_timeout(service: Service) -> None:
    """A service that does not answer costs the timeout and gives the named error."""
    release = threading.Event()
    service.answer = lambda body: (release.wait(20), service.vectors(body))[1]  # type: ignore[assignment,func-returns-value]

    with pytest.raises(ModelUnavailableError):
        OpenAICompatible(service.url, "small", 2, timeout_s=0.1).embed(["a"], "query")
    release.set()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:80",
        "ftp://host/v1",
        "file:///etc/passwd",
        "http://",
        "http://[::1",
        "http://u:p@h/",
        "http://h:x",
    ],
)
def test_a_url_that_is_none_is_refused_at_once(url: str) -> None:
    """Before any I/O, by the named error, without a password in it."""
    with pytest.raises(ModelUnavailableError) as caught:
        OpenAICompatible(url, "small", 2)
    assert "u:p" not in str(caught.value)


def test_no_server_and_a_torn_token_are_named_errors(service: Service) -> None:
    """A closed port, and a token that is no header's value."""
    with Service() as gone:
        pass
    with pytest.raises(ModelUnavailableError):
        OpenAICompatible(gone.url, "small", 2).embed(["a"], "query")
    with pytest.raises(ModelUnavailableError) as caught:
        OpenAICompatible(service.url, "small", 2, api_key=f"{TOKEN}\nX-Evil: 1").embed(["a"], "query")
    assert TOKEN not in str(caught.value)
    assert TOKEN not in repr(OpenAICompatible(service.url, "small", 2, api_key=TOKEN))


def test_cached_texts_are_not_sent_again(service: Service, client: Any) -> None:
    """Only texts that are missing go to the service, in one request; roles have vectors of their own."""
    embeddings = CachedEmbeddings(OpenAICompatible(service.url, "small", 2), client)
    first = [list(map(float, vector)) for vector in embeddings.passages(["a", "bb"])]
    second = [list(map(float, vector)) for vector in embeddings.passages(["a", "ccc", "bb"])]
    embeddings.query("a")
    embeddings.query("a")

    assert (first, second) == ([[1, 0], [2, 1]], [[1, 0], [3, 0], [2, 1]])
    assert [body["input"] for _, _, body in service.seen] == [["a", "bb"], ["ccc"], ["a"]]
