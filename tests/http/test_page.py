"""The page at ``/``: its policy, its stream, who may see it, and how it ends."""

from __future__ import annotations

import asyncio
import json
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from multiprocessing.reduction import ForkingPickler
from typing import Any

import httpx
import pytest
import uvicorn
from support.serving import TOKEN, served

from cache import AsyncCache, Settings
from cache.api import create_app
from cache.api.access import Access
from cache.api.live import Live
from cache.api.page import Page, static_files
from cache.api.protocol import ProblemProtocol
from cache.errors import SettingsError
from cache.fleet import Fleet
from cache.metrics import CacheMetrics
from cache.passes import CODE_S, COOKIE_S, Passes, new_ticket
from cache.serving import page_address

AUTH = {"Authorization": f"Bearer {TOKEN}"}


class Brisk(Live):
    """Looks often, for few."""

    most = 2
    pace_s = 0.05


class Impatient(ProblemProtocol):
    """Waits shortly for whoever does not read."""

    unread_s = 0.3


class Served:
    """The application behind a real server in a thread; what it is made of."""

    def __init__(self, url: str, access: Access, passes: Passes, parts: dict[str, Any]) -> None:
        self.metrics = CacheMetrics()
        ledger = self.metrics.recorder.ledger
        self.live = Brisk(Fleet(ledger, alone="a test", whole=True).look, ledger.categories, parts=parts)
        cache = AsyncCache.from_url(url, recorder=self.metrics.recorder, read_deadline=2, write_deadline=2)
        self.app = create_app(cache, self.metrics, token=TOKEN, access=access, page=Page(self.live, passes))
        self.port = 0
        self.loop: asyncio.AbstractEventLoop | None = None

    @contextmanager
    def running(self) -> Iterator[Served]:
        config = uvicorn.Config(self.app, http=Impatient, ws="none", log_config=None, timeout_graceful_shutdown=2)
        server = uvicorn.Server(config)

        async def serve() -> None:
            self.loop = asyncio.get_running_loop()
            await server.serve(sockets=[listener])

        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
            thread = threading.Thread(target=asyncio.run, args=(serve(),))
            thread.start()
            try:
                yield self
            finally:
                assert self.loop is not None
                self.loop.call_soon_threadsafe(self.live.end)
                server.should_exit = True
                thread.join(10)

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10)

    @contextmanager
    def stream(self) -> Iterator[HTTPResponse]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/cache/stream")
        try:
            yield connection.getresponse()
        finally:
            connection.close()


@contextmanager
def page_over(
    url: str, access: Access | None = None, passes: Passes | None = None, parts: dict[str, Any] | None = None
) -> Iterator[Served]:
    """The page over a store."""
    with Served(url, access or Access(), passes or Passes(), parts or {}).running() as running:
        yield running


def event(answer: HTTPResponse) -> dict[str, str]:
    """The next event, or comment."""
    found: dict[str, str] = {}
    while line := answer.readline().decode().rstrip("\n"):
        name, _, value = line.partition(":")
        found[name] = value.strip()
    return found


def frame(answer: HTTPResponse) -> Any:
    """The next frame."""
    while "data" not in (found := event(answer)):
        assert found, "the stream has ended"
    return json.loads(found["data"])


def test_its_policy_lets_nothing_in_from_elsewhere(glasscache_url: str) -> None:
    """Scripts and styles from its own files; no frame, no form, no base; nothing in the files names another host."""
    with page_over(glasscache_url) as running, running.client() as client:
        for path in ("/", *(f"/page/{name}" for name in static_files())):
            answer = client.get(path)
            assert answer.status_code == 200
            policies = answer.headers.get_list("content-security-policy")
            assert len(policies) == 1
            for part in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'",
                         "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"):  # fmt: skip
                assert part in policies[0].split("; ")
            assert "unsafe" not in policies[0]
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"
            assert answer.headers["cache-control"] == "no-store"
            text = answer.text.replace('"http://www.w3.org/2000/svg"', "")
            assert re.findall(r"(?:https?:)?//[\w.]+\.\w+|innerHTML|eval\(|style=|\son\w+=", text) == []
        assert client.get("/page/nope.js").status_code == 404
        assert client.get("/page/..%2fpage.py").status_code == 404
        assert client.get("/docs").headers["content-security-policy"].startswith("default-src 'none'; style-src 'un")


def test_figures_stream_as_they_come(glasscache_url: str) -> None:
    """A frame at once, and one for each look; what was counted is in it."""
    with page_over(glasscache_url) as running, running.stream() as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        first = frame(answer)
        assert (first["total"]["hit"], first["about"]["scope"], first["findings"]) == (0, "process", [])
        running.metrics.record_hit("tool")
        running.metrics.record_miss("tool")
        give_up = time.monotonic() + 5
        while (now := frame(answer))["total"]["hit"] == 0:
            assert time.monotonic() < give_up
        assert now["categories"]["tool"]["window"]["reasons"] == {"not told": 1}


def test_streams_are_bounded_and_give_their_place_back(glasscache_url: str) -> None:
    """One too many is a problem with the time to wait; when one has gone, the next is taken."""
    with page_over(glasscache_url) as running, running.client() as client:
        with running.stream() as first, running.stream() as second:
            frame(first), frame(second)
            late = client.get("/cache/stream")
            assert (late.status_code, late.json()["code"]) == (503, "too_many_streams")
            assert int(late.headers["retry-after"]) > 0
        give_up = time.monotonic() + 5
        while client.head("/cache/stream").status_code != 200:
            assert time.monotonic() < give_up
        with running.stream() as third:
            frame(third)


def test_one_who_does_not_read_is_cut_off(glasscache_url: str) -> None:
    """Frames pile up until the connection is full; then its time runs, and its place is free again."""
    parts = {"large": lambda: "x" * 1_000_000}
    with page_over(glasscache_url, parts=parts) as running, running.client() as client:
        with socket.socket() as lazy, running.stream() as other:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lazy.connect(("127.0.0.1", running.port))
            lazy.sendall(b"GET /cache/stream HTTP/1.1\r\nHost: x\r\n\r\n")
            give_up = time.monotonic() + 5
            while client.head("/cache/stream").status_code != 503:
                assert time.monotonic() < give_up
            give_up = time.monotonic() + 60
            while client.head("/cache/stream").status_code == 503:
                frame(other)
                assert time.monotonic() < give_up


def test_the_end_is_told_and_nobody_waits_for_it() -> None:
    """A stream is open when the process is asked to end: it gets a last event, and the process ends at once."""
    with served("embedded://") as client:
        port = client.base_url.port
        assert port is not None
        connection = HTTPConnection("127.0.0.1", port, timeout=15)
        connection.request("GET", "/cache/stream")
        answer = connection.getresponse()
        frame(answer)
        began = time.monotonic()
        words = ["pgrep", "-f", f"cache serve --port {port}"]
        pid = int(subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[0])
        subprocess.run(["kill", f"-{signal.SIGTERM.value}", str(pid)], check=True)
        while "event" not in (last := event(answer)):
            assert last
        assert last["event"] == "end"
        assert answer.read() == b""
        assert time.monotonic() - began < 2
        connection.close()


def test_silence_is_broken_by_a_beat(glasscache_url: str) -> None:
    """A proxy between sees that somebody is there."""
    from cache.api.stream import Stream

    async def scenario() -> list[bytes]:
        live = Live(
            lambda: (CacheMetrics().recorder.ledger.figures(), {"scope": "x", "since": 1, "complete": True}), list
        )
        sent: list[bytes] = []
        listening = asyncio.Event()

        async def receive() -> dict[str, str]:
            await listening.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message.get("body", b""))
            if sent.count(b": beat\n\n") == 2:
                listening.set()

        await Stream(live, beat_s=0.02)({}, receive, send)
        return sent

    sent = asyncio.run(scenario())
    assert sent[1].startswith(b"retry: ") and b"data: {" in sent[2]
    assert sent[3:5] == [b": beat\n\n"] * 2


def test_beyond_loopback_it_is_behind_the_token(glasscache_url: str) -> None:
    """A door without figures; the token opens it by a cookie that no script reads and no other site sends."""
    passes = Passes()
    with page_over(glasscache_url, Access.of(Settings.of(), "0.0.0.0"), passes) as running, running.client() as client:
        door = client.get("/")
        assert (door.status_code, "Token" in door.text, "www-authenticate" in door.headers) == (401, True, True)
        assert client.get("/cache/stream").json()["code"] == "token_missing"
        wrong = client.post("/page/session", headers={"Authorization": "Bearer no"})
        assert (wrong.status_code, wrong.cookies) == (401, {})
        done = client.post("/page/session", headers=AUTH)
        assert done.status_code == 204
        said = done.headers["set-cookie"].lower()
        assert all(part in said for part in ("httponly", "samesite=strict", "path=/", f"max-age={COOKIE_S}"))
        assert TOKEN not in said
        assert client.get("/").status_code == 200
        assert client.head("/cache/stream").status_code == 200
        client.cookies.clear()
        assert client.head("/cache/stream", headers=AUTH).status_code == 200
        until = int(time.time()) + 999
        for forged in (f"{until}.", f"{until}." + "0" * 64, Passes().issue(), "é", "x" * 5000, ".", "1.2.3"):
            answer = client.get("/", headers={"Cookie": f"{passes.cookie}={forged}".encode()})
            assert answer.status_code == 401, forged


def test_a_code_opens_once(glasscache_url: str) -> None:
    """It is exchanged for the cookie, and is gone from the address; the second time, and a wrong one, find the door."""
    code, ticket = new_ticket()
    with page_over(glasscache_url, Access(page="token"), Passes(ticket=ticket)) as running, running.client() as client:
        assert client.get("/", params={"code": code[:-1]}).status_code == 401
        opened = client.get("/", params={"code": code})
        assert (opened.status_code, opened.headers["location"]) == (303, "/")
        assert client.get("/").status_code == 200
        client.cookies.clear()
        assert client.get("/", params={"code": code}).status_code == 401
    ticket.left.close()
    assert page_address("127.0.0.1", 8000, code) == f"http://127.0.0.1:8000/?code={code}"
    assert page_address("::", 80) == "http://[::1]:80/"


def test_a_code_opens_once_in_all_workers() -> None:
    """Two that hold the same ticket, handed over as to another process: one of them opens."""
    code, ticket = new_ticket()
    copies = [Passes(ticket=pickle.loads(ForkingPickler.dumps(ticket))) for _ in range(2)]
    opened = [passes.redeem(code) for passes in copies] + [passes.redeem(code) for passes in copies]
    assert opened.count(True) == 1
    for held in (ticket, *(passes.ticket for passes in copies)):
        assert held is not None
        held.left.close()


def test_codes_and_cookies_have_an_end() -> None:
    """Seconds later than promised they open nothing."""
    now = [1000.0]
    code, ticket = new_ticket(lambda: now[0])
    passes = Passes(ticket=ticket, now=lambda: now[0])
    cookie = passes.issue()
    assert passes.holds(cookie)
    now[0] += CODE_S
    assert not passes.redeem(code)
    ticket.left.close()
    now[0] = 1000.0 + COOKIE_S
    assert not passes.holds(cookie)
    assert not passes.holds(None)
    assert Passes(secret=passes.secret).cookie == passes.cookie != Passes().cookie


def test_who_sees_the_page_is_a_setting(glasscache_url: str) -> None:
    """Open on loopback, behind the token beyond it; a setting says otherwise."""
    for setting, inside, outside in (
        ("auto", "open", "token"),
        ("true", "open", "open"),
        ("token", "token", "token"),
        ("false", "closed", "closed"),
    ):
        settings = Settings.of(api_page=setting)
        assert [Access.of(settings, host).page for host in ("127.0.0.1", "0.0.0.0")] == [inside, outside]
    with page_over(glasscache_url, Access(page="closed")) as running, running.client() as client:
        for path in ("/", "/page/main.js", "/cache/stream"):
            assert client.get(path).json()["code"] == "page_closed"
    for wrong in ("ftp://a", "javascript:x", "http://u:p@host/", "http://a/?x", "a"):
        with pytest.raises(SettingsError, match="CACHE_GRAFANA_URL"):
            Settings.of(grafana_url=wrong)
    assert Settings.of(jaeger_url="https://traces.example.org/ui/").jaeger_url == "https://traces.example.org/ui"


def test_the_pages_files_are_in_the_wheel() -> None:
    """What is served is what is installed: every file is found by its package."""
    words = [sys.executable, "-c", "from cache.api.page import static_files; print(*sorted(static_files()))"]
    found = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    assert {"page.html", "door.html", "page.css", "main.js", "theme.js", "icon.svg"} <= set(found)
