"""The shipped workflow again and again: the same questions in rounds, and now and then a change.

What comes when follows from the run's number alone. Nothing grows: turns come round again, an
edit takes the place of the one before, and so does a message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cache.workflow.embeddings import EmbeddingModel, Role
from cache.workflow.folders import edit
from cache.workflow.runner import QUESTIONS, Answer, Question, QuestionAnswering

ROUNDS_BETWEEN_CHANGES = 3
"""A file is edited and a message is added before each round whose number is a multiple of this."""

TURNS = 6
"""A task's turns begin again after so many."""

FOLLOW_UPS = ("And please name the methods.", "And please be brief.", "And please quote the lines.")

TASKS = tuple(dict.fromkeys(question.task_id for question in QUESTIONS))


class Stopped(BaseException):
    """The end was asked for while a run was under way. No ``Exception``: nothing has failed."""


def question_of(run: int, session: str) -> Question:
    """What is asked in a run.

    Args:
        run: its number, from 0.
        session: put before the task's id, so that processes on one store have tasks of their own.
    """
    number, place = divmod(run, len(QUESTIONS))
    asked = QUESTIONS[place]
    return replace(asked, task_id=f"{session}-{asked.task_id}", turn=(asked.turn + 2 * number) % TURNS)


def change_before(run: int) -> int:
    """Which change is due before a run, counted from 1; 0 for none."""
    number, place = divmod(run, len(QUESTIONS) * ROUNDS_BETWEEN_CHANGES)
    return 0 if place else number


class InterruptibleModel:
    """A model that can be stopped between two texts; a batch of many may take longer than a process has to end.

    Args:
        model: what embeds.
        stopped: asked before each text.
    """

    def __init__(self, model: EmbeddingModel, stopped: Callable[[], bool]) -> None:
        self._model, self._stopped = model, stopped
        self.name, self.provider = model.name, model.provider
        self.dimension, self.remote = model.dimension, model.remote

    def embed(self, texts: Sequence[str], role: Role) -> list[Any]:
        """Vectors of ``texts``: float32, shape (dim,) each.

        Raises:
            Stopped: the end was asked for.
        """
        vectors = []
        for text in texts:
            if self._stopped():
                raise Stopped
            vectors += list(self._model.embed([text], role))
        return vectors


class Rounds:
    """The workflow over one folder that may be edited, one run at a time.

    Args:
        folder: a copy that nobody else needs.
        cache: what the workflow takes.
        model: what embeds.
        session: see ``question_of``.
    """

    def __init__(self, folder: Path, cache: Any, model: EmbeddingModel, session: str) -> None:
        self._folder, self._session = folder, session
        self._workflow = QuestionAnswering(str(folder), cache, model)
        for task in TASKS:
            self._workflow.conversation.add(f"{session}-{task}", f"I have questions about {folder.name}.")

    def answer(self, run: int) -> Answer:
        """Make the change that is due before a run, then answer its question."""
        change = change_before(run)
        if change:
            self._change(change)
        return self._workflow.answer(question_of(run, self._session))

    def _change(self, change: int) -> None:
        edit(self._folder, f"{change} changes so far")
        task = f"{self._session}-{TASKS[change % len(TASKS)]}"
        # the greeting stays, the last message goes: a conversation does not grow either
        del self._workflow.conversation.messages[task][1:]
        self._workflow.new_message(task, FOLLOW_UPS[change % len(FOLLOW_UPS)])
