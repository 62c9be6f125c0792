"""Runbooks: one panel a page of ``dashboards/runbooks``, so that an alert's link works without the internet.

An alert links here with its name in the variable ``alert``. A panel cannot be chosen by a variable, so the first one
names the alert and links to the page of each by itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from dashboards.source import links, variables
from dashboards.source.layout import Board, Shelf, panel_id
from dashboards.source.panels import Panel, page

FOLDER = Path(__file__).resolve().parent.parent / "runbooks"

LINE_WIDTH = 150
"""Characters of running text in a line of a panel that is as wide as the page."""


@dataclass(frozen=True, slots=True)
class Runbook:
    """One page.

    Args:
        alert: the name of its file.
        text: what follows its heading.
    """

    alert: str
    text: str

    @property
    def gist(self) -> str:
        """Its first paragraph, in one line."""
        paragraphs = [part for part in self.text.split("\n\n") if part.strip() and not part.startswith("#")]
        return " ".join(paragraphs[0].split()) if paragraphs else ""

    @property
    def height(self) -> int:
        """Room for all of it, in units of Grafana's grid."""
        lines = sum(1 + len(line) // LINE_WIDTH for line in self.text.splitlines())
        return min(60, 3 + round(lines * 0.45))


def read(folder: Path = FOLDER) -> list[Runbook]:
    """Every runbook by name; none where there is no folder yet."""
    return [Runbook(path.stem, _as_panel(path.read_text("utf-8"))) for path in sorted(folder.glob("*.md"))]


def _as_panel(text: str) -> str:
    """A page without its heading, which is the panel's title; its links to other pages lead to their panels."""
    head, _, rest = text.partition("\n")
    body = rest if head.startswith("# ") else text
    return re.sub(r"\]\((\w+)\.md\)", lambda found: f"]({alone(found[1])})", body).strip()


def board(folder: Path = FOLDER) -> Board:
    """The dashboard."""
    books = read(folder)
    names = [book.alert for book in books] or ["none"]
    pages = [Shelf(book.height, [(24, _page(book))]) for book in books]
    return Board(
        links.RUNBOOKS,
        "What each alert means, how to confirm it, what to do, when to silence it.",
        [variables.alerts(names)],
        [Shelf(4 + round(len(books) * 0.8), [(24, contents(books))]), *pages],
        since="now-1h",
    )


def contents(books: list[Runbook]) -> Panel:
    """The list of all, and which one was asked for."""
    description = "Which alert you came for, and every runbook: what each alert means, in a sentence."
    if not books:
        return page("Contents", description, "There is no runbook yet.")
    rows = [f"| [{book.alert}]({alone(book.alert)}) | {book.gist} |" for book in books]
    text = "\n".join(
        [
            "You came for **${alert}**: its page is linked in the list, and stands below in full.",
            "",
            "| Alert | What it means |",
            "|---|---|",
            *rows,
        ]
    )
    return page("Contents", description, text)


def alone(alert: str) -> str:
    """The URL of one runbook that fills the window."""
    return f"/d/{links.RUNBOOKS.uid}?var-alert={alert}&viewPanel=panel-{panel_id(alert)}"


def _page(book: Runbook) -> Panel:
    return page(book.alert, f"The runbook of the alert {book.alert}: `dashboards/runbooks/{book.alert}.md`.", book.text)
