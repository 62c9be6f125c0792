"""Searches a model's states, all of them, breadth first: the first wrong answer found has the shortest story."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from model.fence_model import Model, State


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search found.

    Args:
        states: how many there are.
        story: steps to a wrong answer; empty when none can be given.
    """

    states: int
    story: tuple[str, ...] = ()


def search(model: Model, first: State) -> Searched:
    """Every state that can be reached from the first."""
    start = alike(first)
    came: dict[State, tuple[State, str] | None] = {start: None}
    waiting = deque([start])
    while waiting:
        state = waiting.popleft()
        for name, following in model.after(state):
            if "WRONG" in name:
                return Searched(len(came), (*_story(came, state), name))
            reached = alike(following)
            if reached not in came:
                came[reached] = (state, name)
                waiting.append(reached)
    return Searched(len(came))


def _story(came: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    steps: list[str] = []
    while (before := came[state]) is not None:
        state, name = before
        steps.append(name)
    return steps[::-1]


def alike(state: State) -> State:
    """The same state with its tokens numbered in the order in which they stand in it: only their equality counts."""
    numbers: dict[int, int] = {}

    def number(token: int | None) -> Any:
        return token if token is None or token < 10 else numbers.setdefault(token, len(numbers) + 10)

    def renamed_store(store: Any) -> Any:
        if store is None:
            return None
        category, entry = store.category, store.entry
        if category is not None:
            category = category._replace(read=number(category.read), fence=number(category.fence))
        tag = number(store.tag)
        if entry is not None:
            entry = entry._replace(read=number(entry.read), tag=number(entry.tag), own=number(entry.own))
        return store._replace(category=category, tag=tag, entry=entry)

    def renamed_process(process: Any) -> Any:
        if process.step == "done":
            # what it knew no longer counts
            return process._replace(floor=0, fence=None, version=0, entry=None)
        fence, entry = process.fence, process.entry
        if fence is not None:
            fence = type(fence)(*(number(token) for token in fence))
        if entry is not None:
            entry = entry._replace(read=number(entry.read), tag=number(entry.tag), own=number(entry.own))
        return process._replace(fence=fence, entry=entry)

    store, copy = renamed_store(state.store), renamed_store(state.copy)
    processes = tuple(sorted((renamed_process(process) for process in state.processes), key=repr))
    return state._replace(store=store, copy=copy, processes=processes, token=len(numbers) + 10)
