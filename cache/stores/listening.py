"""The listener: one thread and one connection that bring the local tier every change, and prove that they live.

Begun at the tier's first use, ended by ``close``, or once the tier is gone. After a break the tier begins
empty; a server that refuses tracking is asked again half a minute later.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import select
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import redis

from cache.clock import Clock
from cache.core.local import LEASE_S, LocalTier
from cache.stores.connection import new_client
from cache.stores.greeting import Greeting, Identity
from cache.stores.options import StoreOptions
from cache.stores.tracking import Dialogue, TrackingRefused, tracking_on
from cache.stores.urls import StoreURL
from telemetry.logs import StateLog

REFUSED_S = 30.0
"""Seconds after which a server that refused tracking is asked again."""

FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 1.0

_log = logging.getLogger("glasscache")


class _Pushes:
    """Invalidations that came in; each a list of Redis keys, None for all of them."""

    def __init__(self) -> None:
        self._came: list[list[bytes] | None] = []

    def take(self, message: Sequence[Any]) -> _Pushes:
        """Take one in; itself stands for the message, which is no reply."""
        self._came.append(message[1])
        return self

    def given(self) -> list[list[bytes] | None]:
        """What came since this was asked last."""
        came, self._came = self._came, []
        return came


class Listener:
    """Keeps one tier true.

    Args:
        tier: told of every change; held weakly.
        prefixes: of the Redis keys that it is to hear of.
        serving: eight bytes that name the server which the store reads from, empty when not known.
        clock: of the lease.

    Attributes:
        find: says which server it is, where ``url`` names only those who know.
    """

    def __init__(
        self,
        url: StoreURL,
        options: StoreOptions,
        tier: LocalTier,
        prefixes: Sequence[str],
        *,
        serving: Callable[[], bytes],
        clock: Clock,
    ) -> None:
        self._url, self._options, self._prefixes = url, options, prefixes
        self.find: Callable[[], StoreURL] = lambda: url
        self._tier, self._serving, self._clock = weakref.ref(tier), serving, clock
        self._states = StateLog(_log)
        self._closed = False
        self._pipe: tuple[int, int] | None = None
        self.begin_anew()
        tier.listen, tier.wake = self.start, self.wake

    def begin_anew(self) -> None:
        """In a forked child: thread, pipe and connection are the parent's."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._end_pipe()

    def start(self) -> None:
        """Begin to listen, once."""
        tier = self._tier()
        with self._lock:
            if self._thread is not None or self._closed or tier is None:
                return
            self._pipe = os.pipe()
            for end in self._pipe:
                os.set_blocking(end, False)
            thread = threading.Thread(target=self._run, args=self._pipe, name="glasscache-listener", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # the process is ending, or has no thread left: nothing is kept
                self._end_pipe()
                return
            self._thread = thread
            tier.listening = True

    def wake(self) -> None:
        """Tell the thread that there is a question, or that it is to end."""
        with self._lock:
            if self._pipe is not None:
                with contextlib.suppress(OSError):
                    os.write(self._pipe[1], b"w")

    def close(self, seconds: float = 1.0) -> None:
        """End the thread and its connection, within ``seconds``."""
        self._closed = True
        self.wake()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(seconds)

    def _run(self, reader: int, _writer: int) -> None:
        pause = FIRST_PAUSE_S
        try:
            while not self._over():
                state = "lost"
                began = self._clock.monotonic()
                try:
                    self._listen(reader)
                except TrackingRefused as refusal:
                    state = "refused"
                    _log.debug("no local tier: %s", refusal)
                except Exception as trouble:
                    _log.debug("the local tier's connection broke: %s", type(trouble).__name__)
                tier = self._tier()
                if tier is None or self._over():
                    break
                tier.lost(state)
                self._states.changed("local tier", state, store=self._url.label)
                del tier
                if self._clock.monotonic() - began > LEASE_S:
                    pause = FIRST_PAUSE_S
                wait_s = REFUSED_S if state == "refused" else pause * random.uniform(0.5, 1.0)
                pause = min(LONGEST_PAUSE_S, 2 * pause)
                self._wait([reader], reader, wait_s)
        finally:
            tier = self._tier()
            if tier is not None:
                tier.lost("closed")
            with self._lock:
                self._end_pipe()

    def _over(self) -> bool:
        return self._closed or self._tier() is None

    def _end_pipe(self) -> None:
        pipe, self._pipe = self._pipe, None
        for end in pipe or ():
            os.close(end)

    def _listen(self, reader: int) -> None:
        """Connect and heed what comes until it is over.

        Raises:
            TrackingRefused: the server does not track for us.
            Exception: whatever ended the connection.
        """
        identity = Identity()
        url = self.find()
        greeting = Greeting(url.db, url.username, url.secret, "glasscache-local", identity)
        pool = new_client(url, self._options, greeting, decode=False).connection_pool
        connection: Any = pool.make_connection()
        pushes = _Pushes()
        try:
            connection.connect()
            connection._parser.set_invalidation_push_handler(pushes.take)
            connection.send_command(*tracking_on(self._prefixes))
            refusal = self._read(connection, pushes)
            if isinstance(refusal, Exception):
                raise TrackingRefused(str(refusal).partition(" ")[0])
            if not self._same_server(identity):
                raise ConnectionError("the store reads from another server")
            self._heed(connection, pushes, identity, reader)
        finally:
            connection.disconnect()

    def _heed(self, connection: Any, pushes: _Pushes, identity: Identity, reader: int) -> None:
        tier = self._tier()
        if tier is None:
            return
        tier.told()
        del tier
        self._states.changed("local tier", "on", store=self._url.label)
        dialogue = Dialogue(self._clock.monotonic())
        sock = connection._sock
        while not self._over():
            now = self._clock.monotonic()
            commands = [dialogue.beat(now)] if dialogue.due(now) else []
            if commands and not self._same_server(identity):
                raise ConnectionError("the store reads from another server")
            if dialogue.broken(now):
                raise TimeoutError("the server does not answer")
            tier = self._tier()
            if tier is None:
                return
            commands += dialogue.ask(tier.questions(), now)
            if commands:
                connection.send_packed_command(connection.pack_commands(commands))
            while connection.can_read(0):
                self._take(tier, dialogue, self._read_one(connection, pushes), pushes)
                if tier.questions_waiting:
                    break
            else:
                del tier
                self._wait([sock.fileno(), reader], reader, dialogue.patience(self._clock.monotonic()))

    def _take(self, tier: LocalTier, dialogue: Dialogue, message: Any, pushes: _Pushes) -> None:
        if message is pushes:
            for names in pushes.given():
                tier.pushed(names)
            return
        until = dialogue.reply(message)
        if until is not None:
            tier.extend(until)

    def _same_server(self, identity: Identity) -> bool:
        serving = self._serving()
        return not serving or not identity.value or serving == identity.value

    def _read(self, connection: Any, pushes: _Pushes) -> Any:
        while True:
            message = self._read_one(connection, pushes)
            if message is not pushes:
                return message

    @staticmethod
    def _read_one(connection: Any, pushes: _Pushes) -> Any:
        """The next message: a reply, a refusal, or ``pushes`` itself when it grew."""
        try:
            return connection.read_response(disable_decoding=True, disconnect_on_error=False, push_request=True)
        except redis.ResponseError as refusal:
            return refusal

    @staticmethod
    def _wait(sources: list[int], pipe: int, seconds: float) -> None:
        ready, _, _ = select.select(sources, [], [], seconds)
        if pipe in ready:
            with contextlib.suppress(OSError):
                os.read(pipe, 4096)
