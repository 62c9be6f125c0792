"""Callers who ask the same at once share a question, and none is answered by one that went out before it came."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from cache.clock import Deadline
from cache.core.flights import Flights
from cache.core.steps import Call, Wait
from cache.core.together import Questions
from cache.errors import StoreError
from cache.testing.clock import ManualClock
from telemetry.vocabulary import ErrorType

QUESTION = ("MGET", "key", "generation")


class Caller:
    """One caller, at the step that it has come to."""

    def __init__(self, questions: Questions) -> None:
        self._asking: Generator[Any, Any, Any] = questions.ask(
            QUESTION, ManualClock(), 0.05, Deadline(ManualClock(), 0.1)
        )
        self.step = next(self._asking)
        self.reply: Any = None

    def goes_on(self, answer: Any = True) -> None:
        try:
            self.step = self._asking.send(answer)
        except StopIteration as end:
            self.step, self.reply = None, end.value

    def fails(self) -> None:
        with pytest.raises(StoreError):
            self._asking.throw(StoreError(ErrorType.REFUSED))

    def leaves(self) -> None:
        self._asking.close()


def test_two_questions_answer_a_crowd() -> None:
    """The first is asked at once; all who come meanwhile share the second, which waits for the first one's end."""
    questions = Questions()
    first, *crowd = [Caller(questions) for _ in range(250)]
    assert isinstance(first.step, Call)
    assert all(isinstance(caller.step, Wait) for caller in crowd)
    first.goes_on(["old"])
    leader, *followers = crowd
    leader.goes_on()
    assert isinstance(leader.step, Call)
    leader.goes_on(["new"])
    for caller in followers:
        caller.goes_on()
    assert first.reply == ["old"]
    assert all(caller.reply == ["new"] for caller in crowd)
    assert isinstance(Caller(questions).step, Call)


def test_nobody_shares_a_question_that_is_out() -> None:
    """Who comes after the second has gone out waits for a third, whether or not the first has ended."""
    for first_ends in (True, False):
        questions = Questions()
        first, second = Caller(questions), Caller(questions)
        if first_ends:
            first.goes_on(["old"])
        second.goes_on(first_ends)
        assert isinstance(second.step, Call)
        third = Caller(questions)
        assert isinstance(third.step, Wait)
        second.goes_on(["before the third came"])
        if not first_ends:
            first.goes_on(["old"])
        third.goes_on()
        assert isinstance(third.step, Call)
        third.goes_on(["new"])
        assert third.reply == ["new"]


@pytest.mark.parametrize("end", ["fails", "leaves"])
def test_who_follows_one_that_brings_nothing_asks_by_itself(end: str) -> None:
    questions = Questions()
    first, leader, follower = [Caller(questions) for _ in range(3)]
    first.goes_on(["old"])
    leader.goes_on()
    getattr(leader, end)()
    follower.goes_on()
    assert isinstance(follower.step, Call)
    follower.goes_on(["its own"])
    assert follower.reply == ["its own"]
    assert isinstance(Caller(questions).step, Call)


def test_a_leader_that_leaves_before_its_turn_takes_nobody_with_it() -> None:
    questions = Questions()
    first, leader, follower = [Caller(questions) for _ in range(3)]
    leader.leaves()
    another = Caller(questions)
    assert isinstance(another.step, Wait)
    first.goes_on(["old"])
    another.goes_on()
    another.goes_on(["new"])
    follower.goes_on()
    assert isinstance(follower.step, Call)
    assert another.reply == ["new"]


def test_what_flies_is_told_until_it_lands_or_is_sent_away() -> None:
    flights = Flights()
    ticket = flights.enter("key")
    assert flights.flying("key") is None
    assert not flights.crowded("key")
    flight, leads = flights.join("key", "seen", ticket)
    assert leads
    assert flights.flying("key") == "seen"
    flights.enter("key")
    assert flights.crowded("key")
    flights.detach()
    assert flights.flying("key") is None
    flights.settle(flight)
