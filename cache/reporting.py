"""The reporter: a thread that puts this process's figures beside those of the others once a second.

It has a store of its own, so that nothing here is on the path of a cache operation, counts as one,
or is seen as one: no span, no figure, a breaker that nobody is shown.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cache.clock import Clock, Deadline
from cache.core import fleet_folding
from cache.core.fleet_records import encode
from cache.core.fleet_roster import Roster, lost, roster
from cache.core.fleet_scripts import MARK, READ, SWAP, WRITE
from cache.core.fleet_table import Table, number, record, table
from cache.core.steps import Arg, Lua, RunScript
from cache.errors import StoreError
from cache.stores.contract import Store
from cache.stores.forking import in_forked_child
from telemetry.figures import Figures
from telemetry.ledger import Ledger
from telemetry.quiet import unobserved

PAUSE_S = 0.9
"""Between two writes: with the write itself it stays below the second that a killed process may lose."""

CALL_S = 0.4
"""Deadline of one call, seconds; no cache operation waits for it."""

LIFETIME_MS = 7 * 86_400_000
"""How long the hash outlives the last write of anybody."""

FOLD_EVERY = 60
"""Writes between two looks for what is to be folded."""

_log = logging.getLogger("glasscache")


@dataclass(frozen=True, slots=True)
class Member:
    """Under which name this process reports.

    Args:
        id: random.
        baseline: what was folded under an earlier name; None when nothing was.
    """

    id: str
    baseline: Figures | None = None

    def figures(self, ledger: Ledger) -> Figures:
        """What is to be written under this name: everything but what others hold already."""
        now = ledger.figures()
        return now if self.baseline is None else now.after(self.baseline)


class Reporter:
    """Reports one ledger; begins anew in a forked child.

    Args:
        store: of its own; is closed with the reporter.
        name: the Redis key of the fleet's hash.
        ledger: whose figures are reported.
        clock: of deadlines.
        random: gives as many random bytes as it is asked for.
    """

    def __init__(
        self, store: Store, name: str, ledger: Ledger, clock: Clock, random: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._store, self._name, self._ledger, self._clock, self._random = store, name, ledger, clock, random
        self._thread: threading.Thread | None = None
        self._forget()
        in_forked_child(self._begin_anew)

    def _forget(self) -> None:
        self._me = Member(self._random(8).hex())
        self._known: Roster | None = None
        self._written: Figures | None = None
        self._beats = 0
        self._trouble: str | None = None
        self._stop = threading.Event()

    def _begin_anew(self) -> None:
        """In a forked child: another process with a ledger of its own; the thread has stayed with the parent."""
        running = self._thread is not None and not self._stop.is_set()
        self._thread = None
        self._forget()
        if running:
            self.start()

    def start(self) -> None:
        """Begin to report."""
        self._thread = threading.Thread(target=self._run, args=(self._stop,), daemon=True, name="glasscache-fleet")
        self._thread.start()

    def close(self, seconds: float = 1.0) -> None:
        """Write the last figures, within ``seconds``; what is counted afterwards is in no sum."""
        thread, self._thread = self._thread, None
        self._stop.set()
        if thread is not None:
            thread.join(seconds)
            self._store.close(0.1)

    def _run(self, stop: threading.Event) -> None:
        with unobserved():
            self.beat()
            while not stop.wait(PAUSE_S):
                self.beat()
            self.beat(last=True)

    def beat(self, *, last: bool = False) -> None:
        """Write once; trouble is logged when it begins and when it is over.

        Args:
            last: the process ends.
        """
        try:
            self._write(last)
            if not last:
                self._tidy()
        except StoreError as trouble:
            self._say(trouble.kind.value)
        except Exception as fault:
            self._say(type(fault).__name__)
        else:
            self._say(None)

    def _say(self, trouble: str | None) -> None:
        before, self._trouble = self._trouble, trouble
        if trouble is not None and before is None:
            _log.warning("this process's figures do not reach the fleet: %s", trouble)
        elif trouble is None and before is not None:
            _log.info("this process's figures reach the fleet again")

    def _write(self, last: bool) -> None:
        """Write under the present name, or under another one when this one was folded meanwhile."""
        known = self._known
        answer = self._put(last, known.epoch if known is not None else b"")
        if len(answer) == 1:
            if last and answer[0] and record(answer[0]).figures is None:
                # the last word itself was folded: the answer to it was lost, and it was said a second time
                return
            self._folded(answer[0])
            answer = self._put(last, b"")
        epoch, folds, names = answer
        now = roster(epoch, self._store.identity(), number(folds), names)
        if known is not None and known.epoch != epoch and self._me.baseline is not None:
            # what was folded of this process is lost as well, and only this process can write it again
            self._me = Member(self._me.id)
            self._put(last, b"")
        missed = lost(known, now)
        if missed:
            self._execute(MARK, [int(missed.ended), *sorted(missed.living)])
        self._known = now.marked(missed)

    def _put(self, last: bool, written_in: bytes) -> Any:
        figures, fresh = self._me.figures(self._ledger), self._random(8).hex()
        arguments: list[Arg] = [self._me.id, encode(figures), int(last), fresh, LIFETIME_MS, written_in]
        answer = self._execute(WRITE, arguments)
        if len(answer) > 1:
            self._written = figures
        return answer

    def _folded(self, value: bytes) -> None:
        """Go on under another name, with what was counted since this one was folded.

        Args:
            value: the record that was folded; empty when nobody remembers it.
        """
        known = self._known
        if not value and known is not None and known.server != self._store.identity():
            # not folded: the server went back to what it was before this process's first write
            return
        counted, before = record(value).figures if value else self._written, self._me.baseline
        if counted is not None and before is not None:
            counted = before.plus(counted)
        self._me = Member(self._random(8).hex(), counted or before)

    def _tidy(self) -> None:
        """Fold what is over; of several processes that do so at once one succeeds."""
        self._beats += 1
        known = self._known
        many = known is not None and known.unfolded > fleet_folding.KEPT_ENDED
        if not many and self._beats % FOLD_EVERY:
            return
        fold = fleet_folding.due(self._read())
        if fold is not None:
            self._execute(SWAP, fold.arguments())

    def look(self) -> tuple[Table, str, Figures]:
        """The whole table, this process's id and its figures of this moment.

        Raises:
            StoreError: the store did not answer.
        """
        with unobserved():
            found = self._read()
        me = self._me
        return found, me.id, me.figures(self._ledger)

    def _read(self) -> Table:
        now_ms, flat = self._execute(READ, [])
        return table(now_ms, flat)

    def _execute(self, script: Lua, arguments: list[Arg]) -> Any:
        deadline = Deadline(self._clock, CALL_S)
        return self._store.execute(RunScript(script, [self._name], arguments, deadline, idempotent=True))
