"""The way over connections that are held open: each step is one send and one receive on a socket of ours."""

from __future__ import annotations

from typing import Any

import redis
from redis.observability.recorder import record_error_count

from cache.clock import Deadline
from cache.core.steps import Arg, Batch, Call, RunScript, StoreStep
from cache.stores.errors import store_error
from cache.stores.exchange import Exchange
from cache.stores.greeting import KnownScripts
from cache.stores.guard import may_repeat
from cache.stores.held import Held
from cache.stores.packing import pack, pack_in_parts
from cache.stores.rack import Rack
from telemetry.commands import CommandSpans

READS = frozenset({"GET", "MGET"})
"""Commands that carry keys only: nothing in them is large."""


class HeldPath:
    """Sends each step over a connection of its own rack.

    Args:
        rack: the connections.
        known: which scripts the server has.
        spans: makes a span of each command.
    """

    def __init__(self, rack: Rack, known: KnownScripts, spans: CommandSpans) -> None:
        self._rack, self._known, self.spans = rack, known, spans

    def carry_out(self, step: StoreStep, call: Exchange) -> Any:
        """Wait for a place, within the deadline, then send."""
        held = self._rack.take(call)
        try:
            try:
                if type(step) is Call:
                    reply = self._command(held, call, step.args)
                else:
                    reply = self._send(held, step, call)
            except Exception as error:
                if self._rack.closed or not may_repeat(call, error, step.idempotent):
                    raise
                reply = self._again(held, step, call)
        except BaseException:
            self._rack.give_back(held)
            raise
        # outside of the try: a place that was given back already must not be given back again
        self._rack.give_back(held)
        return reply

    def _again(self, held: Held, step: StoreStep, call: Exchange) -> Any:
        """On a fresh connection; those that are idle may have ended with this one."""
        held.close()
        self._rack.let_idle_go()
        return self._send(held, step, call)

    def _send(self, held: Held, step: StoreStep, call: Exchange) -> Any:
        if isinstance(step, Call):
            return self._command(held, call, step.args)
        if isinstance(step, Batch):
            return self._batch(held, call, step.commands)
        return self._script(held, call, step)

    def _command(self, held: Held, call: Exchange, args: tuple[Arg, ...]) -> Any:
        span = self.spans.start((args,))
        ready = False
        try:
            held.make_ready(call)
            ready = True
            reply = held.ask(call, pack(args) if args[0] in READS else pack_in_parts((args,)))
        except BaseException as error:
            if ready and isinstance(error, Exception):
                self.note(error)
            if span is not None:
                span.finish(error)
            raise
        if span is not None:
            span.finish(None, reply)
        return reply

    def _batch(self, held: Held, call: Exchange, commands: tuple[tuple[Arg, ...], ...]) -> list[Any]:
        span = self.spans.start(commands, pipeline=True)
        try:
            replies = self._ask_all(held, call, commands)
        except BaseException as error:
            if span is not None:
                span.finish(error)
            raise
        if span is not None:
            span.finish(None, replies)
        return [store_error(reply) if isinstance(reply, Exception) else reply for reply in replies]

    def _ask_all(self, held: Held, call: Exchange, commands: tuple[tuple[Arg, ...], ...]) -> list[Any]:
        if not commands:
            return []
        held.make_ready(call)
        try:
            return held.ask_all(call, pack_in_parts(commands), len(commands))
        except Exception as error:
            self.note(error)
            raise

    def _script(self, held: Held, call: Exchange, step: RunScript) -> Any:
        script, rest = step.script, (b"%d" % len(step.keys), *step.keys, *step.args)
        if self._known.has(script):
            try:
                return self._command(held, call, ("EVALSHA", script.sha, *rest))
            except redis.exceptions.NoScriptError:
                self._known.forget()
        reply = self._command(held, call, ("EVAL", script.text, *rest))
        self._known.learn(script)
        return reply

    def note(self, error: Exception) -> None:
        """Count it among redis-py's own errors. Source: redis-py 8.1, ``Redis._execute_command``."""
        host, port = self._rack.address
        record_error_count(host, port, host, port, error, 0, False)

    def let_idle_go(self) -> None:
        """Close the connections that nobody uses."""
        self._rack.let_idle_go()

    def close(self, deadline: Deadline) -> None:
        """Wait for the calls under way until ``deadline``, then close every connection."""
        self._rack.close(deadline)
