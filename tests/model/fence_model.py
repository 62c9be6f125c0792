"""The fence protocol as a small state machine, to be searched whole.

One key, its category, one tag; one server. A step here is one step of the server there: an MGET or one script, each
atomic. What is left out: flights, the local tier, deadlines (a call that ends early ends between two of its steps).

    ask        MGET of entry, category, tag             cache/core/reading.py, ``_ask`` and verdicts.py, ``_valid``
    ask_tag    MGET of tags only the entry names        cache/core/reading.py, ``_see_further_tags``
    make       MAKE_GENERATIONS of what was absent      cache/core/scripts.py, ``MAKE_GENERATIONS``
    compute    the origin is read
    commit     COMMIT under what ``ask`` and ``make`` saw    cache/core/scripts.py, ``COMMIT``
    change     CHANGE of a scope                        cache/core/scripts.py, ``CHANGE``
    bury       DELETE: a tombstone                      cache/core/scripts.py, ``DELETE``
    sweep      SWEEP of what a pattern matched          cache/core/scripts.py, ``SWEEP``

An answer is wrong when it is older than what the last invalidation that had ended before the question began left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple


class Category(NamedTuple):
    """A category's record: read token, write fence, identity of the server that made it (generations.py)."""

    read: int
    fence: int
    made_by: int


class Entry(NamedTuple):
    """A stored value; a tombstone when ``version`` is -1."""

    version: int
    read: int
    tag: int
    own: int


class Store(NamedTuple):
    """What the server holds."""

    category: Category | None
    tag: int | None
    entry: Entry | None


class Fence(NamedTuple):
    """What a writer saw."""

    read: int | None
    fence: int | None
    tag: int | None
    own: int


class Process(NamedTuple):
    """One caller: what it is, its next step, what it knows."""

    kind: str
    step: str
    floor: int = 0
    fence: Fence | None = None
    version: int = 0
    entry: Entry | None = None


class State(NamedTuple):
    """Everything."""

    store: Store
    server: int
    copy: Store | None
    truth: int
    floor: int
    token: int
    faults: tuple[str, ...]
    processes: tuple[Process, ...]


FIRST_TOKEN = 20
"""Tokens that are made count up from here; those below ten are a mutant's, always the same."""

ABSENT = 0
"""Own token of a key under which nothing of ours stands."""

ALL_GUARDS = frozenset(
    {
        "absent refuses",
        "commit compares",
        "commit is atomic",
        "own token",
        "read compares the category",
        "read compares the tag",
        "made before computing",
        "tokens never repeat",
        "identity",
        "tombstone",
        "fence before sweep",
        "sweep spares tombstones",
    }
)
"""What the protocol rests on; a mutant lacks one."""


@dataclass(frozen=True, slots=True)
class Model:
    """The steps that are possible in each state.

    Args:
        guards: those in force.
    """

    guards: frozenset[str] = ALL_GUARDS

    def begin(self, kinds: tuple[str, ...], faults: tuple[str, ...], *, stored: bool) -> State:
        """The first state: all callers are about to begin.

        Args:
            kinds: of the callers: write, read, read blindly, tag, category, delete, pattern.
            faults: each may strike once, at any time: lose tag, lose category, lose entry, fail over.
            stored: the generations and an entry of the first version are there.
        """
        first = {"write": "ask", "read": "ask", "read blindly": "ask"}
        a, b, c, d = (1, 2, 3, 4) if "tokens never repeat" not in self.guards else (11, 12, 13, 14)
        store = Store(Category(a, b, 0), c, Entry(0, a, c, d)) if stored else Store(None, None, None)
        processes = tuple(Process(kind, first.get(kind, "turn")) for kind in kinds)
        return State(store, 0, None, 0, 0, FIRST_TOKEN, faults, processes)

    def after(self, state: State) -> Iterator[tuple[str, State]]:
        """Every step that can come next, named, and where it leads; a wrong answer leads to no state."""
        for at, process in enumerate(state.processes):
            if process.step != "done":
                for name, changed, now in getattr(self, f"_{process.step}")(state, process):
                    processes = (*state.processes[:at], now, *state.processes[at + 1 :])
                    yield f"{process.kind} {at}: {name}", changed._replace(processes=processes)
        for fault in state.faults:
            rest = tuple(other for other in state.faults if other != fault)
            yield from self._strike(state._replace(faults=rest), fault)

    def _fresh(self, state: State, scope: int) -> tuple[int, State]:
        """A new token; a mutant gives a scope the same one each time it is made."""
        if "tokens never repeat" not in self.guards:
            return scope, state
        return state.token, state._replace(token=state.token + 1)

    def _seen_category(self, state: State) -> Category | None:
        """The record as a reader takes it: another server's counts as absent (generations.py, ``made_by``)."""
        category = state.store.category
        if category is not None and category.made_by != state.server and "identity" in self.guards:
            return None
        return category

    def _ask(self, state: State, process: Process) -> Any:
        """One MGET, and the verdict on it."""
        process = process._replace(floor=state.floor)
        category, entry = self._seen_category(state), state.store.entry
        tag = state.store.tag
        if process.kind == "read blindly" and entry is not None and entry.version >= 0:
            # the entry's own tag is not known yet: it is asked for by a second MGET
            yield "asks", state, process._replace(step="ask_tag", entry=entry, fence=Fence(*_of(category), None, 0))
            return
        if self._valid(entry, category, tag):
            assert entry is not None
            yield from self._answer(state, process, entry.version)
        elif process.kind != "write":
            yield "misses", state, process._replace(step="done")
        else:
            own = entry.own if entry is not None else ABSENT
            fence = Fence(*_of(category), tag, own)
            absent = category is None or tag is None
            # a mutant takes its fence after the computation
            step = "make" if absent and "made before computing" in self.guards else "compute"
            yield "misses", state, process._replace(step=step, fence=fence)

    def _ask_tag(self, state: State, process: Process) -> Any:
        entry, fence = process.entry, process.fence
        assert entry is not None and fence is not None
        category = None if fence.read is None else Category(fence.read, 0, 0)
        if self._valid(entry, category, state.store.tag):
            yield from self._answer(state, process, entry.version)
        else:
            yield "misses", state, process._replace(step="done")

    def _valid(self, entry: Entry | None, category: Category | None, tag: int | None) -> bool:
        """verdicts.py, ``_valid``: made under the current token of every scope; an absent one is no token."""
        if entry is None or entry.version < 0:
            return False
        if "read compares the category" in self.guards and (category is None or category.read != entry.read):
            return False
        return "read compares the tag" not in self.guards or tag == entry.tag

    def _answer(self, state: State, process: Process, version: int) -> Any:
        if version < process.floor:
            yield f"WRONG: answers {version}, {process.floor} was invalidated before", state, process
        else:
            yield f"answers {version}", state, process._replace(step="done")

    def _make(self, state: State, process: Process) -> Any:
        """MAKE_GENERATIONS: what is absent or another server's is made, what is there is read back."""
        fence, store = process.fence, state.store
        assert fence is not None
        category, tag = store.category, store.tag
        if fence.read is None:
            foreign = category is not None and category.made_by != state.server and "identity" in self.guards
            if category is None or foreign:
                read, state = self._fresh(state, 1)
                write, state = self._fresh(state, 2)
                category = Category(read, write, state.server)
            fence = fence._replace(read=category.read, fence=category.fence)
        if fence.tag is None:
            if tag is None:
                tag, state = self._fresh(state, 3)
            fence = fence._replace(tag=tag)
        state = state._replace(store=store._replace(category=category, tag=tag))
        step = "compute" if "made before computing" in self.guards else "commit"
        yield "makes generations", state, process._replace(step=step, fence=fence)

    def _compute(self, state: State, process: Process) -> Any:
        late = "made before computing" not in self.guards
        fence = process.fence
        assert fence is not None
        if late:
            # the mutant looks at the generations only now
            fence = Fence(*_of(self._seen_category(state)), state.store.tag, fence.own)
        absent = fence.read is None or fence.tag is None
        step = "make" if late and absent else "commit"
        yield f"computes {state.truth}", state, process._replace(step=step, version=state.truth, fence=fence)

    def _commit(self, state: State, process: Process) -> Any:
        """COMMIT: compare the tokens and the key's own one, then store; a mutant lets go in between."""
        agrees = self._agrees(state, process)
        if "commit is atomic" not in self.guards:
            yield "compares", state, process._replace(step="store" if agrees else "done")
        elif agrees:
            yield from self._store(state, process)
        else:
            yield "is refused", state, process._replace(step="done")

    def _agrees(self, state: State, process: Process) -> bool:
        store, fence = state.store, process.fence
        assert fence is not None
        if "commit compares" not in self.guards:
            return True
        category, tag, own = store.category, store.tag, store.entry.own if store.entry is not None else ABSENT
        lax = "absent refuses" not in self.guards
        same = (category is not None and (category.read, category.fence) == (fence.read, fence.fence)) or (
            lax and category is None
        )
        same = same and (tag == fence.tag or (lax and tag is None))
        return same and (own == fence.own or "own token" not in self.guards)

    def _store(self, state: State, process: Process) -> Any:
        fence = process.fence
        assert fence is not None
        own, state = self._fresh(state, 4)
        entry = Entry(process.version, fence.read or 0, fence.tag or 0, own)
        store = state.store._replace(entry=entry)
        if "absent refuses" not in self.guards and (store.category is None or store.tag is None):
            # who takes absent for unchanged puts back what was seen
            category = store.category or Category(fence.read or 0, fence.fence or 0, state.server)
            store = store._replace(category=category, tag=store.tag if store.tag is not None else fence.tag)
        yield f"stores {process.version}", state._replace(store=store), process._replace(step="done")

    def _turn(self, state: State, process: Process) -> Any:
        """The source changes; then it is invalidated."""
        truth = state.truth + 1
        now = process._replace(step="change", version=truth)
        if process.kind == "pattern" and "fence before sweep" not in self.guards:
            now = now._replace(step="sweep")
        yield f"changes the source to {truth}", state._replace(truth=truth), now

    def _change(self, state: State, process: Process) -> Any:
        """CHANGE of a tag, of a category, of a category's write fence; or DELETE."""
        store = state.store
        if process.kind == "delete":
            entry: Entry | None = None
            if "tombstone" in self.guards:
                own, state = self._fresh(state, 9)
                entry = Entry(-1, 0, 0, own)
            yield "deletes", *self._ended(state._replace(store=store._replace(entry=entry)), process)
            return
        if process.kind == "tag" and store.tag is not None:
            tag, state = self._fresh(state, 5)
            store = store._replace(tag=tag)
        elif process.kind == "category" and store.category is not None:
            read, state = self._fresh(state, 6)
            write, state = self._fresh(state, 7)
            store = store._replace(category=store.category._replace(read=read, fence=write))
        elif process.kind == "pattern" and store.category is not None:
            write, state = self._fresh(state, 8)
            store = store._replace(category=store.category._replace(fence=write))
        state = state._replace(store=store)
        if process.kind == "pattern":
            yield "refuses writes", state, process._replace(step="sweep")
        else:
            yield "invalidates", *self._ended(state, process)

    def _sweep(self, state: State, process: Process) -> Any:
        entry = state.store.entry
        spared = entry is not None and entry.version < 0 and "sweep spares tombstones" in self.guards
        store = state.store if spared else state.store._replace(entry=None)
        yield "sweeps", *self._ended(state._replace(store=store), process)

    def _ended(self, state: State, process: Process) -> tuple[State, Process]:
        """The invalidation has returned: nobody who asks from now on may get anything older."""
        return state._replace(floor=max(state.floor, process.version)), process._replace(step="done")

    def _strike(self, state: State, fault: str) -> Any:
        """Something is lost; or a replica takes over, which has what was copied to it at any time before."""
        store = state.store
        if fault == "lose tag" and store.tag is not None:
            yield "the tag's generation is lost", state._replace(store=store._replace(tag=None))
        elif fault == "lose category" and store.category is not None:
            yield "the category's generation is lost", state._replace(store=store._replace(category=None))
        elif fault == "lose entry" and store.entry is not None:
            yield "the entry is lost", state._replace(store=store._replace(entry=None))
        elif fault == "fail over":
            # whatever comes after this copy is lost
            yield "a replica has all so far", state._replace(copy=store, faults=(*state.faults, "take over"))
        elif fault == "take over" and state.copy is not None:
            yield "the replica takes over", state._replace(store=state.copy, server=1, copy=None)


def _of(category: Category | None) -> tuple[int | None, int | None]:
    return (None, None) if category is None else (category.read, category.fence)
