"""The one table of bad input, played over sync, async, the plain clients, the command and HTTP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any

import httpx
import numpy as np
import pytest
from support import bad_input
from support.bad_input import CLIENT, COMMANDS, KEYS, PAIRS, PATTERNS, POLICIES, REQUESTS, TAGS, TTLS, VALUES, WORKS
from support.faces import SyncFace
from support.serving import TOKEN, served

from cache import MISS, AsyncCache, AsyncRedisCacheClient, Cache, RedisCacheClient, errors
from cache.cli import main
from cache.testing import EmbeddedServer
from telemetry.testing import Captured

PATIENT = {"read_deadline": 2, "write_deadline": 2}


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    """A server for the table."""
    with EmbeddedServer() as running:
        yield running


class Face:
    """One of the twins, whose calls are awaited to their end, and what its telemetry says."""

    def __init__(self, kind: str, url: str) -> None:
        self.runner, self.captured = asyncio.Runner(), Captured()
        settings = {**PATIENT, "recorder": self.captured.recorder()}
        self.cache: Any = (
            SyncFace(Cache.from_url(url, **settings)) if kind == "sync" else AsyncCache.from_url(url, **settings)
        )

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: self.runner.run(getattr(self.cache, name)(*args, **kwargs))

    def refuses(self, error: str, method: str, *args: Any, **kwargs: Any) -> None:
        """The call raises just this error, and no operation was begun."""
        before = len(self.captured.spans())
        with pytest.raises(getattr(errors, error)) as raised:
            getattr(self, method)(*args, **kwargs)
        assert type(raised.value).__name__ == error
        assert "\n" not in str(raised.value)
        assert len(self.captured.spans()) == before

    def close(self) -> None:
        self.runner.run(self.cache.aclose())
        self.runner.close()


@pytest.fixture(scope="module", params=["sync", "async"])
def face(request: pytest.FixtureRequest, server: EmbeddedServer) -> Iterator[Face]:
    """Both twins."""
    made = Face(request.param, server.url)
    yield made
    made.close()


def what(row: Any) -> str:
    """A row's name, as pytest can show it."""
    return (row if isinstance(row, str) else row.what).encode("ascii", "replace").decode()


@pytest.mark.parametrize("row", KEYS, ids=what)
def test_keys(row: bad_input.Row, face: Face) -> None:
    """Every call takes the key, or refuses it by the same name."""
    if row.happens == WORKS:
        assert face.set(row.category, row.given(), "value")
        assert face.get(row.category, row.given()) == "value"
        assert face.get_or_compute(row.category, row.given(), lambda: "another") == "value"
        assert face.delete(row.category, row.given())
        return
    for method, further in (
        ("get", ()), ("lookup", ()), ("set", ("value",)), ("delete", ()), ("explain", ()), ("get_or_compute", (dict,)),
    ):  # fmt: skip
        face.refuses(row.happens, method, row.category, row.given(), *further)
    face.refuses(row.happens, "get_many", row.category, [row.given()])
    face.refuses(row.happens, "set_many", row.category, [(row.given(), 1)])
    face.refuses(row.happens, "get_or_compute_many", row.category, [row.given()], list)


@pytest.mark.parametrize("row", [row for row in KEYS if row.text is not None], ids=what)
def test_keys_on_the_command_line(
    row: bad_input.Row, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``explain`` takes the key or says in one line why not."""
    monkeypatch.setenv("REDIS_URL", server.url)
    monkeypatch.setenv("CACHE_READ_DEADLINE", "2")
    code = main(["explain", row.category, "--", row.text or ""])
    said = capsys.readouterr()
    assert code == (0 if row.happens == WORKS else 1)
    assert row.happens == WORKS or said.err.count("\n") == 1


@pytest.mark.parametrize(("both", "one", "other", "same"), PAIRS, ids=[what(pair[0]) for pair in PAIRS])
def test_pairs(both: str, one: Any, other: Any, same: bool, face: Face) -> None:
    """Look-alikes are two keys; what is equal is one, whatever its order."""
    for category in ("static", "prompt"):
        face.delete(category, other)
        face.set(category, one, "the one's")
        assert (face.get(category, other) == "the one's") is same


@pytest.mark.parametrize("row", VALUES, ids=what)
def test_values(row: bad_input.Row, face: Face) -> None:
    """A value comes back as it was, or is refused; a computed one is returned in any case, and kept if it can be."""
    value = row.given()
    if row.happens == WORKS:
        assert face.set("prompt", "value", value)
        found = face.get("prompt", "value")
        assert type(found) is type(value)
        assert np.array_equal(found, value) if isinstance(value, np.ndarray) else repr(found) == repr(value)
        return
    face.delete("prompt", "value")
    with pytest.raises(getattr(errors, row.happens)) as raised:
        face.set("prompt", "value", value)
    assert type(raised.value).__name__ == row.happens
    if row.what != "a coroutine":
        # which is the computation itself, where calls are awaited
        assert face.get_or_compute("prompt", "value", lambda: value) is value
    assert face.get("prompt", "value") is MISS


@pytest.mark.parametrize("row", TTLS, ids=what)
def test_ttls(row: bad_input.Row, face: Face) -> None:
    """Seconds, or a timedelta, of a millisecond to ten years."""
    if row.happens == WORKS:
        assert face.set("prompt", "ttl", 1, ttl=row.given())
        return
    face.refuses(row.happens, "set", "prompt", "ttl", 1, ttl=row.given())
    face.refuses(row.happens, "set_many", "prompt", {"ttl": 1}, ttl=row.given())
    face.refuses(row.happens, "get_or_compute", "prompt", "ttl", dict, ttl=row.given())
    face.refuses(row.happens, "get_or_compute_many", "prompt", ["ttl"], list, ttl=row.given())


@pytest.mark.parametrize("row", TAGS, ids=what)
def test_tags(row: bad_input.Row, face: Face) -> None:
    """Text of 1 to 512 characters, at most 256 of them."""
    if row.happens == WORKS:
        assert face.set("prompt", "tags", 1, tags=row.given())
        assert face.get("prompt", "tags", tags=row.given()) == 1
        return
    face.refuses(row.happens, "set", "prompt", "tags", 1, tags=row.given())
    face.refuses(row.happens, "get", "prompt", "tags", tags=row.given())


@pytest.mark.parametrize("row", PATTERNS, ids=what)
def test_patterns(row: bad_input.Row, face: Face) -> None:
    """A prefix of a category, then a glob of bounded length and cost."""
    if row.happens == WORKS:
        assert face.invalidate(pattern=row.given()) == 0
        return
    face.refuses(row.happens, "invalidate", pattern=row.given())
    face.refuses(row.happens, "invalidate", pattern=row.given(), dry_run=True)


@pytest.mark.parametrize("row", [row for row in PATTERNS if row.text is not None], ids=what)
def test_patterns_on_the_command_line(
    row: bad_input.Row, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in code, in one line."""
    monkeypatch.setenv("REDIS_URL", server.url)
    monkeypatch.setenv("CACHE_WRITE_DEADLINE", "2")
    assert main(["invalidate", f"--pattern={row.text}"]) == (0 if row.happens == WORKS else 1)
    assert row.happens == WORKS or capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("row", POLICIES, ids=what)
def test_policies(row: bad_input.Row) -> None:
    """A category that cannot be is refused when it is made."""
    if row.happens == WORKS:
        assert row.given().name == "mine"
        return
    with pytest.raises(getattr(errors, row.happens)) as raised:
        row.given()
    assert type(raised.value).__name__ == row.happens


@pytest.mark.parametrize("row", COMMANDS, ids=what)
def test_commands(
    row: bad_input.Command,
    server: EmbeddedServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An exit code, one reason, no traceback, no secret."""
    for name, value in ({"REDIS_URL": server.url} | dict(row.environment)).items():
        monkeypatch.setenv(name, value)
    try:
        code = main(list(row.argv))
    except SystemExit as left:
        code = int(str(left.code))
    said = capsys.readouterr().err
    assert code == row.code
    assert row.says in said
    assert "Traceback" not in said
    assert "secret" not in said


@pytest.fixture(scope="module")
def api(server: EmbeddedServer) -> Iterator[httpx.Client]:
    """The API, served by the real command."""
    with served(server.url, CACHE_API_TOKEN=TOKEN, CACHE_READ_DEADLINE="2", CACHE_WRITE_DEADLINE="2") as client:
        yield client


def answer(api: httpx.Client, row: bad_input.Request) -> httpx.Response:
    """What the server sends, by a client or to the very bytes."""
    if row.raw:
        with socket.create_connection(("127.0.0.1", api.base_url.port or 80), 10) as raw:
            raw.sendall(row.raw)
            with HTTPResponse(raw) as found:
                found.begin()
                return httpx.Response(found.status, headers=found.getheaders(), content=found.read())
    given = row.headers.items() if isinstance(row.headers, dict) else row.headers
    headers = [(name.encode(), value.encode("latin-1")) for name, value in given]  # type: ignore[union-attr]
    if row.token:
        headers.append((b"Authorization", f"Bearer {TOKEN}".encode()))
    return api.request(row.method, row.path, headers=headers, content=row.body or None)


@pytest.mark.parametrize("row", REQUESTS, ids=what)
def test_requests(row: bad_input.Request, api: httpx.Client) -> None:
    """A status and, where it is no success, a problem with a stable code and nothing of the inside."""
    found = answer(api, row)
    assert found.status_code == row.status, found.text
    if row.status == 200:
        assert not row.code
        return
    assert found.headers["content-type"] == "application/problem+json"
    body = found.json()
    assert (body["status"], body["code"]) == (row.status, row.code)
    assert body.keys() == {"type", "title", "status", "code", "detail"}
    assert [word for word in ("Traceback", "site-packages", ".py", TOKEN) if word in found.text] == []


@pytest.mark.parametrize("row", [row for row in (*KEYS, *PATTERNS) if row.text is not None], ids=what)
def test_keys_and_patterns_by_http(row: bad_input.Row, api: httpx.Client) -> None:
    """What code refuses is a problem here, and the other way round."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    if row in KEYS:
        query = {"category": row.category, "key": row.text}
        found = api.get("/cache/explain", params=query, headers=headers)  # type: ignore[arg-type]
    else:
        found = api.post("/cache/invalidate", params={"pattern": row.text or ""}, headers=headers)
    assert found.status_code == (200 if row.happens == WORKS else 422), found.text
    if row.happens != WORKS:
        assert found.json()["code"] in ("key", "unknown_category", "invalid_parameter")


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_the_plain_client(kind: str, server: EmbeddedServer, caplog: pytest.LogCaptureFixture) -> None:
    """It answers as specified, warns of what it refuses without showing it, and counts it as an error."""
    captured = Captured()
    recorder = captured.recorder()
    with asyncio.Runner() as runner:
        client: Any = (
            RedisCacheClient(server.url, recorder=recorder)
            if kind == "sync"
            else AsyncRedisCacheClient(server.url, recorder=recorder)
        )

        def call(method: str, *args: Any) -> Any:
            answered = getattr(client, method)(*args)
            return answered if kind == "sync" else runner.run(answered)

        for about, method, args, expected in CLIENT:
            caplog.clear()
            assert call(method, *args) == expected, about
            assert len([one for one in caplog.records if one.name == "glasscache"]) == (expected is not True), about
        for ttl in (0, -1, float("nan"), True, 10**12, "60", object()):
            assert call("set", "prompt:a", "v", ttl) is False
        call("close") if kind == "sync" else runner.run(client.aclose())


def test_the_page_is_fresh() -> None:
    """``docs/bad-input.md`` is what the table says today."""
    import importlib.util
    from pathlib import Path

    tool = Path(__file__).resolve().parents[2] / "tools" / "make_bad_input.py"
    spec = importlib.util.spec_from_file_location("make_bad_input", tool)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)

    assert made.page() == made.PAGE.read_text(), "run python tools/make_bad_input.py"
