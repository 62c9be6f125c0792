"""The gate of the API: hosts, origins, bodies, slow and many clients, what is shown beyond loopback, rate and audit."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.client import HTTPResponse
from typing import Any

import httpx
import pytest
import uvicorn
from support.serving import TOKEN, served

from cache import MISS, AsyncCache, Cache, Settings
from cache.api import create_app
from cache.api.access import Access, is_loopback
from cache.api.admin import REFUSALS_A_MINUTE, Budget
from cache.api.protocol import ProblemProtocol
from cache.clock import SystemClock
from cache.errors import SettingsError
from cache.metrics import CacheMetrics
from cache.testing.clock import ManualClock

AUTH = {"Authorization": f"Bearer {TOKEN}"}


def app_over(url: str, access: Access) -> Any:
    """The application over a store."""
    metrics = CacheMetrics()
    cache = AsyncCache.from_url(url, recorder=metrics.recorder, read_deadline=2, write_deadline=2)
    return create_app(cache, metrics, token=TOKEN, access=access)


@asynccontextmanager
async def asked(url: str, access: Access, base: str = "http://127.0.0.1:8000") -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, without a network between them."""
    app = app_over(url, access)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, client=("192.0.2.7", 1234))
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            yield client


def play(url: str, access: Access, scenario: Callable[[httpx.AsyncClient], Any]) -> None:
    """Run a scenario over the application."""

    async def run() -> None:
        async with asked(url, access) as client:
            await scenario(client)

    asyncio.run(run())


def code(answer: httpx.Response) -> tuple[int, str]:
    """Status and stable word of a problem, whose form is checked."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json().keys() == {"type", "title", "status", "code", "detail"}
    return answer.status_code, answer.json()["code"]


OWN_HOSTS = (
    "127.0.0.1",
    "127.0.0.1:8000",
    "[::1]:8000",
    "10.0.0.7",
    "localhost",
    "app:8000",
    "a.localhost",
    "LOCALHOST",
)
FOREIGN_HOSTS = (
    "evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", "0x7f.1",
    "x.cache.example.org", "", "a b", "user@127.0.0.1", "127.0.0.1:8000:1", "127.0.0.1/x",
    "cache.example.org.evil.example",
)  # fmt: skip


@pytest.mark.parametrize("host", OWN_HOSTS)
def test_a_host_that_nobody_can_rebind_is_taken(host: str) -> None:
    """Addresses, ``localhost`` and names without a dot."""
    Access().check([(b"host", host.encode())])


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_a_rebound_name_is_refused(host: str, glasscache_url: str) -> None:
    """A page under a name that was pointed here sends its own name as host: it is told nothing."""

    async def scenario(client: httpx.AsyncClient) -> None:
        for method, path in (("GET", "/cache/metrics"), ("POST", "/cache/invalidate?pattern=prompt:*"), ("HEAD", "/x")):
            answer = await client.request(method, path, headers={**AUTH, "Host": host})
            assert answer.status_code == 421
            assert method == "HEAD" or code(answer) == (421, "host_not_allowed")

    play(glasscache_url, Access(hosts=("cache.example.org",)), scenario)


def test_a_listed_host_is_taken() -> None:
    """By name, by suffix, or all of them."""
    hosts = Settings.of(api_hosts="Cache.example.org, .internal").api_host_names
    for name in ("cache.example.org", "cache.example.org:8000", "a.internal", "cache.example.org."):
        Access(hosts=hosts).check([(b"host", name.encode())])
    Access(hosts=("*",)).check([(b"host", b"evil.example")])
    for wrong in ("http://a.b", "a.b:80", "a..b", "a b.c", "é.example"):
        with pytest.raises(SettingsError, match="CACHE_API_HOSTS"):
            Settings.of(api_hosts=wrong)


def test_pages_of_other_origins_are_not_answered(glasscache_url: str) -> None:
    """Cross-origin requests are refused whatever their method, and no answer ever allows one."""

    async def scenario(client: httpx.AsyncClient) -> None:
        for origin in (
            "https://evil.example",
            "null",
            "http://127.0.0.1:9000",
            "http://localhost:8000",
            "x",
            "http://[",
        ):
            for method in ("GET", "POST", "OPTIONS"):
                answer = await client.request(method, "/cache/metrics", headers={"Origin": origin})
                assert code(answer) == (403, "origin_not_allowed")
        own = await client.get("/cache/metrics", headers={"Origin": "http://127.0.0.1:8000"})
        assert own.status_code == 200
        preflight = await client.options("/cache/invalidate", headers={"Access-Control-Request-Method": "POST"})
        assert code(preflight) == (405, "method_not_allowed")
        for answer in (own, preflight):
            assert [name for name in answer.headers if name.startswith("access-control")] == []

    play(glasscache_url, Access(), scenario)


def test_bodies_are_refused_before_they_are_read(glasscache_url: str) -> None:
    """Too long, or of no length: refused by the head alone, also where it would be a gzip bomb."""

    async def endless() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    async def scenario(client: httpx.AsyncClient) -> None:
        post = {"url": "/cache/invalidate?pattern=prompt:*", "content": b"x" * 9000}
        assert code(await client.post(**post, headers={**AUTH, "Content-Encoding": "gzip"})) == (413, "body_too_large")
        answer = await client.post("/cache/invalidate?pattern=prompt:*", headers=AUTH, content=endless())
        assert code(answer) == (411, "length_required")
        small = await client.post("/cache/invalidate?pattern=prompt:*", headers=AUTH, content=b"x" * 100)
        assert small.json()["deleted"] == 0

    play(glasscache_url, Access(), scenario)


def test_head_is_get_without_a_body(glasscache_url: str) -> None:
    """Every GET route answers HEAD with the same status and headers; a route that takes no GET does not."""

    async def scenario(client: httpx.AsyncClient) -> None:
        for path in (
            "/live",
            "/ready",
            "/cache/health",
            "/cache/metrics",
            "/metrics",
            "/docs",
            "/openapi.json",
            "/nope",
        ):
            head, get = await client.head(path), await client.get(path)
            assert (head.status_code, head.headers["content-type"]) == (get.status_code, get.headers["content-type"])
            assert head.content == b""
        wrong = await client.post("/live")
        assert (code(wrong), wrong.headers["allow"]) == ((405, "method_not_allowed"), "GET, HEAD")
        assert (await client.head("/cache/invalidate")).status_code == 405
        assert code(await client.request("TRACE", "/live")) == (405, "method_not_allowed")

    play(glasscache_url, Access(), scenario)


def test_docs_load_nothing_from_elsewhere(glasscache_url: str) -> None:
    """The page has no script, no address and no style sheet of another host; its policy would stop them too."""

    async def scenario(client: httpx.AsyncClient) -> None:
        page = await client.get("/docs")
        assert "/cache/invalidate" in page.text
        for word in ("<script", "//", "src=", "@import", "url("):
            assert word not in page.text.replace("<!doctype html>", ""), word
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        assert code(await client.get("/redoc")) == (404, "not_found")

    play(glasscache_url, Access(), scenario)


def test_what_is_shown_beyond_loopback_is_a_setting(glasscache_url: str) -> None:
    """``auto`` shows documents and metrics on loopback only; a setting opens or closes each."""
    for host, private in (("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)):
        assert is_loopback(host) is private
        access = Access.of(Settings.of(), host)
        assert (access.docs, access.metrics) == (private, private)
    opened = Access.of(Settings.of(api_docs="true", api_metrics="true"), "0.0.0.0")
    assert (opened.docs, opened.metrics) == (True, True)

    async def scenario(client: httpx.AsyncClient) -> None:
        assert code(await client.get("/docs")) == (403, "docs_closed")
        assert code(await client.get("/openapi.json")) == (403, "docs_closed")
        assert code(await client.get("/metrics")) == (403, "metrics_closed")
        assert (await client.get("/live")).status_code == 200

    play(glasscache_url, Access.of(Settings.of(), "0.0.0.0"), scenario)
    with pytest.raises(SettingsError, match="CACHE_API_DOCS"):
        Settings.of(api_docs="maybe")


def test_a_budget_refills_with_time() -> None:
    """So many at once, then one whenever its share of a minute is over; never more than the whole."""
    clock = ManualClock()
    budget = Budget(60, clock)
    assert [budget.take() for _ in range(60)] == [0.0] * 60
    assert budget.take() == pytest.approx(1.0)
    clock.tick(1.5)
    assert (budget.take(), budget.take()) == (0.0, pytest.approx(0.5))
    clock.tick(3600)
    assert [budget.take() for _ in range(61)].count(0.0) == 60


def test_too_many_invalidations_are_told_to_wait(glasscache_url: str) -> None:
    """429 with the seconds to wait, once the token was right; strangers use nothing up."""
    clock = ManualClock()

    async def scenario(client: httpx.AsyncClient) -> None:
        ask = {"url": "/cache/invalidate?pattern=prompt:x"}
        for _ in range(5):
            assert code(await client.post(**ask)) == (401, "token_missing")
        assert [(await client.post(**ask, headers=AUTH)).status_code for _ in range(3)] == [200, 200, 200]
        answer = await client.post(**ask, headers=AUTH)
        assert code(answer) == (429, "too_many_requests")
        assert 1 <= int(answer.headers["retry-after"]) <= 21
        clock.tick(21)
        assert (await client.post(**ask, headers=AUTH)).status_code == 200

    play(glasscache_url, Access(per_minute=3, clock=clock), scenario)


def test_each_act_of_an_administrator_is_a_line(glasscache_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Who, what, how many; no key, no pattern, no token. Refusals too, bounded and counted."""
    caplog.set_level(logging.INFO, "glasscache.audit")

    async def scenario(client: httpx.AsyncClient) -> None:
        spoofed = {**AUTH, "X-Forwarded-For": "10.9.9.9"}
        await client.post("/cache/invalidate?pattern=context:canary-task:*", headers=spoofed)
        await client.get("/cache/explain?category=prompt&key=canary-key", headers=AUTH)
        for _ in range(REFUSALS_A_MINUTE + 5):
            await client.post("/cache/invalidate?pattern=prompt:*", headers={"Authorization": "Bearer canary-token"})

    play(glasscache_url, Access(clock=ManualClock()), scenario)
    lines = [record for record in caplog.records if record.name == "glasscache.audit"]
    told = [record.glasscache for record in lines]
    assert {**told[0], "pattern": ""} == {
        "audit": "invalidate", "category": "context", "client": "192.0.2.7", "pattern": "",
        "deleted": 0, "dry_run": False, "complete": True,
    }  # fmt: skip
    assert len(told[0]["pattern"]) == 16
    assert (told[1]["audit"], told[1]["category"], told[1]["outcome"]) == ("explain", "prompt", "miss")
    assert [fields["code"] for fields in told[2:]] == ["token_invalid"] * REFUSALS_A_MINUTE
    text = caplog.text + repr(told)
    assert [word for word in ("canary", TOKEN, "10.9.9.9") if word in text] == []


def test_a_tenant_is_named_by_a_parameter(glasscache_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """The token's bearer looks at and drops one tenant's; without a token nobody does, and the line has a digest."""
    caplog.set_level(logging.INFO, "glasscache.audit")
    with Cache.from_url(glasscache_url) as cache:
        for tenant in ("canary a", "é*"):
            cache.scoped(tenant).set("prompt", "k", "x")

    async def scenario(client: httpx.AsyncClient) -> None:
        async def outcome(**tenant: str) -> Any:
            ask = {"category": "prompt", "key": "k", **tenant}
            return (await client.get("/cache/explain", params=ask, headers=AUTH)).json()["outcome"]

        async def drop(tenant: str, headers: dict[str, str]) -> httpx.Response:
            ask = {"pattern": "prompt:*", "tenant": tenant}
            return await client.post("/cache/invalidate", params=ask, headers=headers)

        assert code(await drop("é*", {})) == (401, "token_missing")
        assert [await outcome(), await outcome(tenant="b"), await outcome(tenant="é*")] == ["miss", "miss", "hit"]
        assert (await drop("é*", AUTH)).json()["deleted"] == 1
        assert [await outcome(tenant="é*"), await outcome(tenant="canary a")] == ["miss", "hit"]
        for wrong in ("", "x" * 513):
            assert (await drop(wrong, AUTH)).status_code == 422

    play(glasscache_url, Access(clock=ManualClock()), scenario)
    told = [record.glasscache for record in caplog.records if record.name == "glasscache.audit"]
    assert ["tenant" in fields for fields in told] == [False, False, True, True, True, True, True]
    assert "canary" not in caplog.text + repr(told)


def test_clearing_twice_at_once_under_load_leaves_nothing_old(glasscache_url: str) -> None:
    """Two administrators, one origin that changes, callers in between: nobody ever gets what was cleared."""
    truth, refused = [0], []

    async def scenario(client: httpx.AsyncClient) -> None:
        metrics = CacheMetrics()
        async with AsyncCache.from_url(
            glasscache_url, recorder=metrics.recorder, read_deadline=2, write_deadline=2
        ) as cache:

            async def origin() -> int:
                value = truth[0]
                await asyncio.sleep(0)
                return value

            async def overtaken() -> int:
                value = truth[0]
                await asyncio.gather(administrator(), administrator())
                return value

            async def caller() -> None:
                while truth[0] < 40:
                    least = truth[0]
                    assert await cache.get_or_compute("prompt", "k", origin) >= min(cleared, least)
                    await asyncio.sleep(0)

            async def administrator() -> None:
                answered = await client.post("/cache/invalidate?pattern=prompt:*", headers=AUTH)
                assert answered.json()["complete"]

            cleared = 0
            callers = [asyncio.create_task(caller()) for _ in range(8)]
            for now in range(1, 41):
                truth[0] = now
                await asyncio.gather(administrator(), administrator())
                cleared = now
                assert await cache.get_or_compute("prompt", "k", origin) >= now
            await asyncio.gather(*callers)
            for n in range(3):
                await cache.get_or_compute("prompt", f"overtaken {n}", overtaken)
                assert await cache.get("prompt", f"overtaken {n}") is MISS
            refused.append(metrics.summary()["categories"]["prompt"]["writes"].get("refused", 0))

    play(glasscache_url, Access(), scenario)
    assert refused[0] >= 3


class Hasty(ProblemProtocol):
    """Waits for nobody."""

    most_connections = 4
    request_s = 0.3


@contextmanager
def hasty(url: str) -> Iterator[int]:
    """The application behind a real server with short patience; its port."""
    config = uvicorn.Config(app_over(url, Access()), http=Hasty, ws="none", log_config=None, timeout_keep_alive=1)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(10)


def answer_on(raw: socket.socket) -> tuple[int, bytes]:
    """The answer that comes on a connection, and its body."""
    with HTTPResponse(raw) as found:
        found.begin()
        return found.status, found.read()


@pytest.mark.parametrize(
    "part",
    [
        b"GET /live HT",
        b"GET /live HTTP/1.1\r\nHost: x\r\nX: a",
        b"GET /live HTTP/1.1\r\nHost: x\r\n\r\nGET /live HTTP/1.1\r\nHo",
    ],
)
def test_a_head_that_dawdles_is_ended(part: bytes, glasscache_url: str) -> None:
    """Slowloris: a byte now and then buys no time; the request is over when its time is, and others are answered."""
    with hasty(glasscache_url) as port, socket.create_connection(("127.0.0.1", port), 5) as raw:
        raw.sendall(part)
        if b"\r\n\r\n" in part:
            assert answer_on(raw)[0] == 200
        began = time.monotonic()
        raw.settimeout(0.05)
        while True:
            try:
                first = raw.recv(1, socket.MSG_PEEK)
                break
            except TimeoutError:
                raw.sendall(b"a")
        assert first == b"H"
        assert 0.2 < time.monotonic() - began < 3
        raw.settimeout(5)
        status, body = answer_on(raw)
        assert (status, b"request_timeout" in body) == (408, True)
        assert httpx.get(f"http://127.0.0.1:{port}/live").status_code == 200


def test_a_body_that_dawdles_is_ended(glasscache_url: str) -> None:
    """The answer is there already; the rest of the body is waited for no longer than a request may take."""
    head = b"POST /cache/invalidate HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
    with hasty(glasscache_url) as port, socket.create_connection(("127.0.0.1", port), 5) as raw:
        raw.sendall(head)
        assert answer_on(raw)[0] == 401
        assert raw.recv(1) == b""


def test_a_connection_without_a_request_is_ended(glasscache_url: str) -> None:
    """Nothing was asked: nothing is answered."""
    with hasty(glasscache_url) as port, socket.create_connection(("127.0.0.1", port), 5) as raw:
        assert raw.recv(1) == b""


def test_too_many_connections_are_told_to_come_back(glasscache_url: str) -> None:
    """The one beyond the bound is refused by a problem; when one has gone, the next is answered."""
    with hasty(glasscache_url) as port:
        held = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(4)]
        try:
            for raw in held:
                raw.sendall(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
                assert answer_on(raw)[0] == 200
            with socket.create_connection(("127.0.0.1", port), 5) as late:
                status, body = answer_on(late)
            assert (status, b"overloaded" in body) == (503, True)
        finally:
            for raw in held:
                raw.close()
        give_up = time.monotonic() + 5
        while True:
            try:
                assert httpx.get(f"http://127.0.0.1:{port}/live").status_code == 200
                break
            except (AssertionError, httpx.TransportError):
                assert time.monotonic() < give_up


def test_settings_reach_the_served_api() -> None:
    """The command hands hosts, rate and what is shown on; a header about the client is not believed."""
    variables = {"CACHE_API_TOKEN": TOKEN, "CACHE_API_HOSTS": "cache.example.org", "CACHE_API_RATE": "1"}
    with served("redis://127.0.0.1:1/0", **variables, CACHE_API_METRICS="false", CACHE_API_DOCS="false") as client:
        assert client.get("/live", headers={"Host": "cache.example.org"}).status_code == 200
        assert code(client.get("/live", headers={"Host": "evil.example"})) == (421, "host_not_allowed")
        assert code(client.get("/metrics")) == (403, "metrics_closed")
        assert code(client.get("/docs")) == (403, "docs_closed")
        assert client.head("/live").status_code == 200
        ask = {"url": "/cache/invalidate?pattern=prompt:x", "headers": AUTH}
        assert [client.post(**ask).status_code for _ in range(2)] == [200, 429]


def test_the_clock_of_the_rate_is_the_systems_by_default() -> None:
    """Nobody has to hand one in."""
    assert isinstance(Access().clock, SystemClock)
