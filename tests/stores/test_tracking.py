"""The connection that keeps the local tier true, on real servers: what it is told, and how it fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
import redis
from support.local import until

from cache.clock import SystemClock
from cache.core.local import LEASE_S, LocalTier
from cache.core.own_writes import Question
from cache.stores.connect import StoreOptions, open_listener
from cache.stores.listening import Listener
from cache.stores.tracking import BEAT_S, Dialogue, TrackingRefused, tracking_on
from cache.testing import EmbeddedServer
from telemetry.local import LocalAccounts

CLOCK = SystemClock()


class Heard(LocalTier):
    """A tier that remembers what it was told."""

    def __init__(self) -> None:
        self.names: list[list[bytes] | None] = []
        super().__init__(
            1 << 20,
            scope_name=str,
            token_of=lambda _, raw: raw,
            monotonic=CLOCK.monotonic,
            accounts=LocalAccounts(),
        )

    def pushed(self, names) -> None:  # type: ignore[no-untyped-def]
        self.names.append(None if names is None else list(names))
        super().pushed(names)

    def leased(self) -> bool:
        return CLOCK.monotonic() < self.lease_until


Listen = Callable[..., tuple[Heard, Listener]]


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Opens a listener on a URL and begins to listen."""
    opened: list[Listener] = []

    def opener(url: str, serving: Callable[[], bytes] = bytes) -> tuple[Heard, Listener]:
        tier = Heard()
        listener = open_listener(url, StoreOptions(), tier, ("prompt:", "gen:"), serving=serving, clock=CLOCK)
        opened.append(listener)
        tier.listen()
        return tier, listener

    yield opener
    for listener in opened:
        listener.close()


def test_it_is_told_of_every_change_under_its_prefixes(server: EmbeddedServer, listen: Listen) -> None:
    """Writes, deletes, expiry and prolonged lives of entries and generations; nothing else."""
    tier, _ = listen(server.url)
    until(tier.leased)
    with redis.Redis(unix_socket_path=server.socket) as other:
        for change in (
            lambda: other.set("prompt:a", 1),
            lambda: other.delete("prompt:a"),
            lambda: other.setrange("gen:tag:t", 0, "x"),
            lambda: other.set("prompt:b", 1, px=1),
            lambda: other.pexpire("gen:tag:t", 10_000),
        ):
            other.set("context:x", 1)
            change()
        until(lambda: sum(names is not None and b"prompt:b" in names for names in tier.names) > 1)
        other.flushall()
        until(lambda: None in tier.names)
    told = {name for names in tier.names if names is not None for name in names}
    assert told == {b"prompt:a", b"prompt:b", b"gen:tag:t"}


def test_questions_are_answered_in_order(server: EmbeddedServer, listen: Listen) -> None:
    """What the tier asks is asked on this connection, together, and each gets its own replies."""
    tier, _ = listen(server.url)
    until(tier.leased)
    answers: list[object] = []
    with redis.Redis(unix_socket_path=server.socket) as other:
        other.set("text", "abcdef")
        other.hset("hash", "a", "1")
    asked = [("GETRANGE", "text", n, n) for n in range(4)]
    tier._questions += [Question((command, ("GET", "hash")), answers.append) for command in asked]
    tier.wake()
    until(lambda: len(answers) == 4)
    assert [each[0] for each in answers] == [b"a", b"b", b"c", b"d"]  # type: ignore[index]
    assert all(isinstance(each[1], redis.ResponseError) for each in answers)  # type: ignore[index]


def test_a_server_that_refuses_tracking_leaves_the_tier_off(
    own_server: EmbeddedServer, admin: redis.Redis, listen: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    """A user without the right: one line in the log, and nothing is kept."""
    admin.execute_command("ACL", "SETUSER", "default", "-client|tracking")
    with caplog.at_level("INFO", "glasscache"):
        tier, _ = listen(own_server.url)
        until(lambda: tier.state == "refused")
    assert not tier.leased()
    assert [record.getMessage() for record in caplog.records] == ["local tier is refused"]


def test_a_server_that_comes_back_is_listened_to_again(own_server: EmbeddedServer, listen: Listen) -> None:
    """A crash ends the lease at once; the next server begins with nothing."""
    tier, _ = listen(own_server.url)
    until(tier.leased)
    own_server.kill()
    until(lambda: tier.state == "lost")
    assert not tier.leased()
    own_server.start()
    until(tier.leased)
    assert tier.state == "on"


def test_a_server_that_hangs_ends_the_lease(own_server: EmbeddedServer, listen: Listen) -> None:
    """Silence is not life: the lease runs out by itself, and the tier is emptied soon after."""
    tier, _ = listen(own_server.url)
    until(tier.leased)
    own_server.freeze()
    began = CLOCK.monotonic()
    until(lambda: not tier.leased())
    assert CLOCK.monotonic() - began < LEASE_S + 0.1
    until(lambda: tier.state == "lost")
    own_server.thaw()
    until(tier.leased)


def test_another_server_than_the_stores_is_no_witness(server: EmbeddedServer, listen: Listen) -> None:
    """After a failover a listener that still hears the old server must not vouch for the new one's keys."""
    tier, _ = listen(server.url, lambda: b"another!")
    until(lambda: tier.state == "lost")
    assert not tier.leased()


def test_closing_ends_thread_and_connection(server: EmbeddedServer, listen: Listen) -> None:
    """Nothing is left behind."""
    tier, listener = listen(server.url)
    until(tier.leased)
    listener.close()
    assert "glasscache-listener" not in {thread.name for thread in threading.enumerate()}
    with redis.Redis(unix_socket_path=server.socket) as other:
        until(lambda: "glasscache-local" not in {client["name"] for client in other.client_list()})
    assert not tier.leased()


def test_a_tier_that_nobody_holds_ends_its_listener(server: EmbeddedServer) -> None:
    """A cache that was never closed leaves no thread behind for ever."""
    tier = Heard()
    open_listener(server.url, StoreOptions(), tier, ("prompt:",), serving=bytes, clock=CLOCK)
    tier.listen()
    until(tier.leased)
    del tier
    until(lambda: "glasscache-listener" not in {thread.name for thread in threading.enumerate()})


def test_a_lease_counts_from_the_question() -> None:
    """What changed while the answer was on its way may not have been pushed yet."""
    dialogue = Dialogue(10.0)
    assert dialogue.due(10.0)
    assert dialogue.beat(10.0) == ("PING",)
    assert not dialogue.due(10.0 + BEAT_S - 0.01)
    assert dialogue.reply(b"PONG") == 10.0 + LEASE_S
    dialogue.beat(11.0)
    assert not dialogue.broken(11.0 + LEASE_S)
    assert dialogue.broken(11.1 + LEASE_S)


def test_a_reply_that_nobody_asked_for_is_no_server_to_rely_on() -> None:
    """Replies that got out of step would answer the wrong question."""
    with pytest.raises(TrackingRefused):
        Dialogue(0.0).reply(b"PONG")


def test_the_command_names_every_prefix() -> None:
    """Broadcast mode: the server remembers prefixes, not keys."""
    assert tracking_on(("a:", "b:")) == ("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "a:", "PREFIX", "b:")
