"""The workers of one run: started once, asked in interleaved rounds, held to account for every span."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.method import rotated
from benchmarks.place import ROOT, cores, pin
from benchmarks.programs import environment
from benchmarks.servers import Server, Sink
from benchmarks.states import variables

Replies = dict[str, list[dict[str, Any]]]
"""By worker: what it answered, round by round."""


class WorkerError(Exception):
    """A worker could not do what it was asked."""


class Hand:
    """A worker's process.

    Args:
        name: the contender's.
        state: the telemetry it runs under.
        environ: variables beside those of the state.
    """

    def __init__(self, name: str, state: str, sink: Sink, environ: dict[str, str]) -> None:
        self.name, self.state = name, state
        self.service = f"{name}.{state}"
        self._sink = sink

        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.worker", name, state],
            cwd=ROOT,
            env=environment({**variables(state, sink.url, self.service), **environ}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._exported: dict[str, int] = {}
        self._dropped = 0

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def ready(self, where: Iterable[int]) -> None:
        """Wait until it has started; then pin it."""
        self._answer()
        self.ask("pin", cores=list(where))

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Ask and wait.

        Raises:
            WorkerError: it could not, or has ended.
        """
        assert self._process.stdin is not None
        print(json.dumps({"do": do, **arguments}), file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(f"{self.service} has ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def account(self) -> dict[str, Any]:
        """Since the last account: calls, spans that reached the sink (by scope), what was dropped."""
        found = self.ask("account")
        seen = self._sink.spans(self.service)
        fresh = {scope: count - self._exported.get(scope, 0) for scope, count in seen.items()}
        dropped = found["dropped"] - self._dropped
        self._exported, self._dropped = seen, found["dropped"]
        return {**found, "dropped": dropped, "spans": {scope: count for scope, count in fresh.items() if count}}

    def close(self) -> None:
        """End it."""
        try:
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


@dataclass(slots=True)
class Bench:
    """What the rows share.

    Args:
        quick: the short form.
        server: Valkey, on the clients' core.
        sink: the OTLP sink, elsewhere.
        core: where client and server are measured; elsewhere: the others, or the same where there is one;
            every: all of them.
    """

    quick: bool
    server: Server
    sink: Sink
    core: list[int]
    elsewhere: list[int]
    every: list[int]
    _hands: dict[str, Hand] = field(default_factory=dict)

    @classmethod
    def start(cls, quick: bool) -> Bench:
        """Start server and sink; this process goes where they do not measure."""

        every = cores()
        core, elsewhere = every[:1], every[1:] or every
        bench = cls(quick, Server(core[0] if core else None).start(), Sink(elsewhere), core, elsewhere, every)
        pin(0, elsewhere)
        return bench

    def crew(self, wanted: Sequence[tuple[str, str, dict[str, str]]]) -> list[Hand]:
        """Workers for contenders in states (with variables of their own), started when they are new."""
        fresh = []
        for name, state, environ in wanted:
            if f"{name}.{state}" not in self._hands:
                hand = self._hands[f"{name}.{state}"] = Hand(name, state, self.sink, environ)
                # they may start all over the machine
                pin(hand.pid, self.every)
                fresh.append(hand)
        for hand in fresh:
            hand.ready(self.core)
        return [self._hands[f"{name}.{state}"] for name, state, _ in wanted]

    def rounds(self, full: int, quick: int) -> int:
        """How many rounds this run makes."""
        return quick if self.quick else full

    def interleaved(self, hands: Sequence[Hand], rounds: int, do: str, **arguments: Any) -> Replies:
        """Ask all of them the same, round by round, each round in another order.

        Raises:
            WorkerError: one of them could not.
        """
        replies: Replies = {hand.service: [] for hand in hands}
        by_name = {hand.service: hand for hand in hands}
        for turn in range(rounds):
            for service in rotated(list(by_name), turn):
                replies[service].append(by_name[service].ask(do, **arguments))
        return replies

    def close(self) -> None:
        """End all that was started; this process may go everywhere again."""
        pin(0, self.every)
        for hand in self._hands.values():
            hand.close()
        self.sink.close()
        self.server.stop()
