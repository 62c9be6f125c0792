"""One server of a cluster, for those who block: its connections, its breaker, what it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cache.clock import Deadline
from cache.stores.cluster.member import Member
from cache.stores.cluster.requests import commands_of, finish, learn
from cache.stores.cluster.words import Ask
from cache.stores.exchange import Exchange
from cache.stores.guard import others_are_suspect
from cache.stores.held import Held
from cache.stores.packing import pack_in_parts
from cache.stores.rack import Rack
from telemetry.commands import CommandSpan
from telemetry.vocabulary import ErrorType


class Node:
    """Sends to one server.

    Args:
        member: what is known of it.
        rack: the connections to it.
    """

    def __init__(self, member: Member, rack: Rack) -> None:
        self.rack, self.guard, self.known, self.spans = rack, member.guard, member.known, member.spans

    def begin(self, asks: Sequence[Ask], deadline: Deadline) -> Sending:
        """Send commands in one go; nothing is raised, the sending knows what became of it."""
        return Sending(self, asks, deadline)

    def retire(self) -> None:
        """Nobody new comes: close what nobody uses, and the rest as it comes back."""
        self.rack.closed = True
        self.rack.let_idle_go()


class Sending:
    """Commands that were sent to one server and wait for their replies.

    Attributes:
        held: the connection that they are on; None when they are not.
    """

    def __init__(self, node: Node, asks: Sequence[Ask], deadline: Deadline) -> None:
        self._node, self._asks = node, asks
        self.held: Held | None = None
        self._call: Exchange | None = None
        self._span: CommandSpan | None = None
        self._commands: list[tuple[Any, ...]] = []
        self._own: list[int] = []
        self._trouble: Exception | None = None
        self._over = False
        try:
            self._call = node.guard.admit(deadline)
            self._send(self._call)
        except Exception as error:
            self._failed(error)
        except BaseException as error:
            self.abandon(error)
            raise

    def _send(self, call: Exchange) -> None:
        node = self._node
        self.held = held = node.rack.take(call)
        self._commands, self._own = commands_of(self._asks, node.known)
        self._span = node.spans.start(self._commands, pipeline=len(self._commands) > 1)
        held.make_ready(call)
        held.begin(call, pack_in_parts(self._commands))

    def left(self) -> float:
        """Seconds left."""
        return self._call.left() if self._call is not None else 0.0

    def finish(self) -> list[Any]:
        """The reply to each command, troubles as exceptions; called once."""
        if self.held is not None and self._call is not None:
            call = self._call
            # it has answered, but nobody had the time to hear it: not its fault
            call.bystander = call.left() <= 0 and self.held.has_news()
            try:
                replies = self.held.finish(call, len(self._commands))
            except Exception as error:
                self._failed(error)
            except BaseException as error:
                self.abandon(error)
                raise
            else:
                return self._answered(call, replies)
        return [self._trouble] * len(self._asks)

    def _answered(self, call: Exchange, replies: list[Any]) -> list[Any]:
        if self._span is not None:
            finish(self._span, replies)
        self._over = True
        told = [replies[i] for i in self._own]
        learn(self._asks, [self._commands[i] for i in self._own], told, self._node.known)
        self._give_back()
        self._node.guard.answered(call)
        return told

    def _failed(self, error: Exception) -> None:
        """Give everything back, and keep what went wrong."""
        self._trouble, self._over = error, True
        if self._span is not None:
            self._span.finish(error)
        self._give_back()
        if self._call is not None:
            trouble = self._trouble = self._node.guard.failed(self._call, error)
            if trouble.kind is ErrorType.REFUSED or others_are_suspect(self._call, trouble):
                # what is idle may have ended with this one
                self._node.rack.let_idle_go()

    def abandon(self, error: BaseException) -> None:
        """The caller was interrupted; nothing to do for what is over already."""
        if self._over:
            return
        self._over = True
        if self._span is not None:
            self._span.finish(error)
        self._give_back()
        if self._call is not None:
            self._node.guard.abandoned(self._call)

    def _give_back(self) -> None:
        held, self.held = self.held, None
        if held is not None:
            self._node.rack.give_back(held)
