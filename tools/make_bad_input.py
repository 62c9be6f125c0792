"""Writes ``docs/bad-input.md`` from ``tests/support/bad_input.py``: ``python tools/make_bad_input.py [--check]``.

With ``--check`` nothing is written, and the exit code is 1 when the page is not fresh.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support import bad_input as table  # noqa: E402
from support.bad_input import WORKS, Row  # noqa: E402

PAGE = ROOT / "docs" / "bad-input.md"

INTRO = """# Bad input

<!-- Made by tools/make_bad_input.py from tests/support/bad_input.py: do not edit, run it. -->

What happens to each input: it works, or it is refused by the named error before any I/O.
`tests/security/test_bad_input_table.py` plays every row, over `Cache` and `AsyncCache`, the plain clients, the command
and HTTP. The errors are those of [cache/errors.py](../cache/errors.py). Wrong fences, batches and computations are in
`tests/clients/test_bad_input.py`, wrong functions of `@cached`, and calls that mean the same, in
`tests/clients/test_decorated.py`.
"""


def cell(text: str) -> str:
    """Text as a table's cell."""
    return text.replace("|", "\\|")


def outcome(happens: str) -> str:
    """What happens, an error's name as code."""
    return WORKS if happens == WORKS else f"`{happens}`"


def lines(title: str, about: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """A section with its table."""
    names = list(head)
    yield f"\n## {title}\n\n{about}\n"
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"
    for row in rows:
        yield f"| {' | '.join(map(cell, row))} |"


def elsewhere(row: Row, refused: str) -> str:
    """What the command and the API say of a row."""
    if row.text is None:
        return ""
    return WORKS if row.happens == WORKS else refused


def page() -> str:
    """The whole page."""
    both = ("input", "`Cache`, `AsyncCache`", "command, HTTP")
    out = [INTRO.rstrip()]
    out += lines(
        "Keys", "Of `get`, `lookup`, `set`, `delete`, `explain`, `get_or_compute` and their batches.", both,
        [(row.what, outcome(row.happens), elsewhere(row, "exit 1; 422")) for row in table.KEYS],
    )  # fmt: skip
    out += lines(
        "Keys that look alike", "Two keys, or one.", ("these", "are"),
        [(about, "one key" if same else "two keys") for about, _, _, same in table.PAIRS],
    )  # fmt: skip
    about = (
        "They come back equal and of the same type. `get_or_compute` returns what is refused here, and keeps nothing."
    )
    out += lines("Values", about, ("value", "`set`"), [(row.what, outcome(row.happens)) for row in table.VALUES])
    about = "Of `set`, `get_or_compute` and their batches. The plain client answers `False`."
    out += lines(
        "Times to live", about, ("TTL", "what happens"), [(row.what, outcome(row.happens)) for row in table.TTLS]
    )
    out += lines(
        "Tags",
        "Of `get` and `set`.",
        ("tags", "what happens"),
        [(row.what, outcome(row.happens)) for row in table.TAGS],
    )
    about = "Of `invalidate`. The API takes letters, digits and `. _ ~ % : ? - *`, at most five stars; all else is 422."
    out += lines(
        "Patterns", about, both,
        [(row.what, outcome(row.happens), elsewhere(row, "exit 1; 422")) for row in table.PATTERNS],
    )  # fmt: skip
    out += lines("Categories", "When a `Policy` is made.", ("policy", "what happens"),
                 [(row.what, outcome(row.happens)) for row in table.POLICIES])  # fmt: skip
    about = "They never raise: what they refuse is logged once and counted as an error."
    out += lines(
        "The plain clients", about, ("call", "answer"), [(text, f"`{told!r}`") for text, _, _, told in table.CLIENT]
    )
    about = "Each answer that is no success is `application/problem+json` with this `code`; none shows the inside."
    out += lines(
        "HTTP", about, ("request", "status", "code"),
        [(row.what, str(row.status), f"`{row.code}`" if row.code else "") for row in table.REQUESTS],
    )  # fmt: skip
    about = (
        "And settings. One line that names what is wrong, and no secret; 2 is a wrong command line, 1 anything else."
    )
    out += lines("The command", about, ("given", "exit code", "says"),
                 [(row.what, str(row.code), f"`{row.says}`") for row in table.COMMANDS])  # fmt: skip
    return "\n".join(out) + "\n"


def main(arguments: list[str]) -> int:
    """Write the page, or say whether it is fresh."""
    made = page()
    if "--check" in arguments:
        fresh = PAGE.exists() and PAGE.read_text() == made
        print("fresh" if fresh else f"not fresh: run python tools/{Path(__file__).name}")
        return 0 if fresh else 1
    PAGE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
