"""The pictures of ``docs/performance.md``, from a kept run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.place import ROOT
from benchmarks.report import Report, Row
from benchmarks.table import number

FOLDER = ROOT / "docs" / "pictures"

OURS, THEIRS, BASE = "#1b7f79", "#9aa5b1", "#c2410c"

STYLE = {"svg.fonttype": "none", "svg.hashsalt": "glasscache", "font.family": "sans-serif", "font.size": 10}
"""Text stays text; the same figures give the same file."""


def draw(report: Report, folder: Path = FOLDER) -> list[Path]:
    """Draw what the run has rows for; the files that were written."""
    import matplotlib as mpl

    mpl.use("svg")
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        drawn = [
            bars(_of(report, "hit/json200/unix/"), "A hit of 200 B, bare redis-py GET = 1", folder / "hit.svg"),
            bars(_of(report, "load/json200/cpu/"), "CPU a hit, bare redis-py GET = 1", folder / "cpu.svg"),
            bars(
                [*_of(report, "tasks/json200/throughput/"), *_of(report, "threads/json200/throughput/")],
                "Throughput, redis-py = 1 (more is better)",
                folder / "throughput.svg",
            ),
            growth(report, folder / "growth.svg"),
            bars(_pieces(report), "What the pieces cost, µs", folder / "pieces.svg", mark=None),
        ]
    return [path for path in drawn if path is not None]


def _of(report: Report, prefix: str) -> list[Row]:
    return [
        row for row in report.rows if row.name.startswith(prefix) and not row.void and not row.name.endswith("/base")
    ]


def _pieces(report: Report) -> list[Row]:
    return [row for row in _of(report, "pieces/") if row.unit == "µs"]


def label(row: Row) -> str:
    """What stands beside a bar: the title without what the picture's own says."""
    if row.group in ("hit", "load"):
        return row.title.rpartition(": ")[2]
    return row.title.replace(", throughput: glasscache", "")


def bars(rows: Sequence[Row], title: str, path: Path, mark: float | None = 1.0) -> Path | None:
    """Horizontal bars with the quartiles as whiskers.

    Args:
        mark: where the line of the base is; None draws none.
    """
    import matplotlib.pyplot as plt

    if not rows:
        return None
    figure, axes = plt.subplots(figsize=(8, 0.6 + 0.34 * len(rows)), layout="constrained")
    places = range(len(rows))[::-1]
    colours = [OURS if "glasscache" in row.name or row.name.startswith("pieces/") else THEIRS for row in rows]
    spread = [[row.value - row.low for row in rows], [row.high - row.value for row in rows]]
    axes.barh(places, [row.value for row in rows], color=colours, xerr=spread, ecolor="#444444", height=0.7)
    for place, row in zip(places, rows, strict=True):
        axes.text(row.high, place, f"  {number(row.value)}", va="center", fontsize=9)
    axes.set_yticks(places, [label(row) for row in rows])
    if mark is not None:
        axes.axvline(mark, color=BASE, linewidth=1.2)
    figure.suptitle(title, x=0.01, ha="left")
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    return _saved(figure, path)


def growth(report: Report, path: Path) -> Path | None:
    """Latency against the number of entries, the smallest = 1."""
    import matplotlib.pyplot as plt

    kinds = {"hit": "hit, by entries in the store", "invalidate": "invalidation, by entries that the tag covers"}
    figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
    drawn = False
    for kind, colour in zip(kinds, (OURS, BASE), strict=True):
        rows = _of(report, f"growth/{kind}/")
        first = _of(report, f"growth/{kind}_us/")
        if rows and first:
            sizes = [int(row.name.rpartition("/")[2]) for row in (*first, *rows)]
            values = [1.0, *(row.value for row in rows)]
            spread = [[0.0, *(row.value - row.low for row in rows)], [0.0, *(row.high - row.value for row in rows)]]
            axes.errorbar(sizes, values, yerr=spread, marker="o", color=colour, label=kinds[kind], capsize=3)
            drawn = True
    if not drawn:
        plt.close(figure)
        return None
    axes.set_xscale("log")
    axes.set_ylim(0, 2)
    axes.axhspan(0.9, 1.1, color="#eeeeee", zorder=0)
    figure.suptitle("Latency as the store grows, the smallest = 1 (grey: within 10 %)", x=0.01, ha="left")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return _saved(figure, path)


def _saved(figure: object, path: Path) -> Path:
    import matplotlib.pyplot as plt

    figure.savefig(path, metadata={"Date": None})  # type: ignore[attr-defined]
    plt.close(figure)
    # what draws leaves blanks at the ends of lines
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")
    return path
