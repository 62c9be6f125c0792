"""The exposition on a port of its own: what it answers, what it refuses, where it listens."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack

import httpx
import pytest
from support.programs import free_ports, until

from telemetry import exposition
from telemetry.exposition import MOST_CLIENTS, ExpositionError, exposed
from telemetry.otel_settings import scrape_address

TYPE = "text/plain; version=1.0.0; charset=utf-8"


def page() -> tuple[bytes, str]:
    return b"up 1.0\n", TYPE


def test_metrics_are_answered_and_nothing_else() -> None:
    """GET /metrics is the exposition; other paths and methods are 404; no version of anything is told."""
    port = free_ports(1)
    with exposed(page, "127.0.0.1", port), httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5) as client:
        found = client.get("/metrics")
        assert (found.status_code, found.content, found.headers["content-type"]) == (200, *page())
        assert client.get("/metrics?name=up").status_code == 200
        for path in ("/", "/metrics/", "/metricsx", "/cache/metrics", "/%2e%2e/metrics", "//metrics"):
            assert client.get(path).status_code == 404
        for method in ("HEAD", "POST", "PUT", "DELETE", "OPTIONS", "BREW"):
            assert client.request(method, "/metrics").status_code == 404
        assert found.headers["server"] == "glasscache"
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5)


def test_a_client_that_says_nothing_holds_nobody_up(capfd: pytest.CaptureFixture[str]) -> None:
    """Silence, garbage and a client that leaves: the next scrape is answered, and nothing is printed."""
    port = free_ports(1)
    with exposed(page, "127.0.0.1", port):
        with socket.create_connection(("127.0.0.1", port), 5), socket.create_connection(("127.0.0.1", port), 5) as bad:
            bad.sendall(b"\x00\xff\r\n\r\n")
            assert httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=3).status_code == 200
        assert httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=3).status_code == 200
    assert capfd.readouterr() == ("", "")


def our_threads() -> int:
    """How many threads our servers have, that which listens among them; a Collector of another test is none of ours."""
    targets = [getattr(thread, "_target", None) for thread in threading.enumerate()]
    return sum(isinstance(getattr(target, "__self__", None), exposition._Server) for target in targets)


def test_many_silent_clients_cost_few_threads() -> None:
    """More connections than there may be: those above are closed at once, and the threads are as many as may be."""
    port = free_ports(1)
    until(lambda: our_threads() == 0, 10)
    with exposed(page, "127.0.0.1", port), ExitStack() as held:
        clients = [held.enter_context(socket.create_connection(("127.0.0.1", port), 5)) for _ in range(MOST_CLIENTS)]
        until(lambda: our_threads() == 1 + MOST_CLIENTS, 10)
        late = [held.enter_context(socket.create_connection(("127.0.0.1", port), 5)) for _ in range(20)]
        assert [client.recv(1) for client in late] == [b""] * 20
        assert our_threads() == 1 + MOST_CLIENTS
        for client in clients:
            client.close()
        until(lambda: our_threads() == 1, 10)
        assert httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=3).status_code == 200


def test_a_client_that_drips_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then does not hold a place for good: the time is for all of the request."""
    monkeypatch.setattr(exposition, "SLOWEST_CLIENT_S", 0.3)
    port = free_ports(1)
    with exposed(page, "127.0.0.1", port), socket.create_connection(("127.0.0.1", port), 5) as client:
        client.settimeout(0.05)
        began, ended = time.monotonic(), False
        while not ended and time.monotonic() - began < 4:
            try:
                client.sendall(b"G")
                ended = client.recv(1) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                ended = True
        assert ended, "it was still being listened to"


def test_a_scrape_that_fails_is_a_failed_scrape(capfd: pytest.CaptureFixture[str]) -> None:
    """Prometheus is told 500 and not an empty page, which would look like a process without metrics."""

    def broken() -> tuple[bytes, str]:
        raise RuntimeError("canary")

    port = free_ports(1)
    with exposed(broken, "127.0.0.1", port):
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=3)
    assert answer.status_code == 500
    assert "canary" not in answer.text + "".join(capfd.readouterr())


@pytest.mark.parametrize("host", ["127.0.0.1", "198.51.100.1", "no-such-host.invalid"])
def test_where_it_cannot_listen_is_one_line(host: str) -> None:
    """A port that is taken, a foreign address, an unknown name: a named error that says where and what to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ExpositionError) as raised:
            with exposed(page, host, port):
                raise AssertionError("it cannot listen there")
    assert f"{host}:{port}" in str(raised.value)
    assert "--metrics-port" in str(raised.value)
    assert "\n" not in str(raised.value)


HOST, PORT = "OTEL_EXPORTER_PROMETHEUS_HOST", "OTEL_EXPORTER_PROMETHEUS_PORT"


@pytest.mark.parametrize(
    ("variables", "port", "expected"),
    [
        ({}, None, None),
        ({HOST: "0.0.0.0"}, None, None),
        ({PORT: ""}, None, None),
        ({PORT: "9464"}, None, ("localhost", 9464)),
        ({HOST: "0.0.0.0", PORT: " 9464 "}, None, ("0.0.0.0", 9464)),
        ({PORT: "9464"}, 9000, ("localhost", 9000)),
        ({}, 65534, ("localhost", 65534)),
    ],
)
def test_where_it_listens(variables: dict[str, str], port: int | None, expected: tuple[str, int] | None) -> None:
    """The standard variables say where, an option wins, and without a port it listens nowhere."""
    assert scrape_address(variables, port, count=2) == expected


@pytest.mark.parametrize("text", ["0", "-1", "65535", "99999", "abc", "9464.5", "٣"])
def test_what_is_no_port_is_refused(text: str) -> None:
    """Not a number, out of range, or without room for the second process: the variable is named, with an example."""
    with pytest.raises(ValueError, match=rf"{PORT}.*for example {PORT}=9464"):
        scrape_address({PORT: text}, count=2)
