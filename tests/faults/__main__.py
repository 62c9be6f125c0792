"""``python -m faults``: plays the catalogue and writes ``docs/reliability.md``.

``--only 1,2,C1`` plays some rows; ``--short`` plays for as short a time as CI, ``--one`` in one form of caller each as
CI does, and both keep their figures all the same; ``--page`` makes the page from the data alone.
"""

from __future__ import annotations

import argparse
import sys
import time

from faults import catalogue, page
from faults.running import played


def main(arguments: list[str]) -> int:
    """Play, write, tell; 1 when a bound was missed or a row was not reached."""
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--only", default="", help="numbers of rows, separated by commas")
    parser.add_argument("--short", action="store_true", help="the form of CI")
    parser.add_argument("--one", action="store_true", help="one form of caller for each row")
    parser.add_argument("--page", action="store_true", help="play nothing")
    given = parser.parse_args(arguments)
    data = page.load()
    wanted = set(filter(None, given.only.split(",")))
    data["versions"] = page.versions() if not given.page else data["versions"]
    bad = 0
    plays = catalogue.in_turn() if given.one else [(row, *way) for row in catalogue.rows() for way in row.variants]
    for row, form, path in [] if given.page else plays:
        if wanted and row.number not in wanted:
            continue
        began = time.monotonic()
        told = played(row, form, path, short=given.short)
        page.keep(data, told, short=given.short)
        page.write(data)
        verdict = told.reached or "; ".join(told.broken) or "held"
        bad += verdict != "held"
        print(f"{row.number:>4} {form:8} {path:6} {time.monotonic() - began:5.1f} s  {verdict[:300]}", flush=True)
    page.write(data)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
