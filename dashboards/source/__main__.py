"""Writes the dashboards' JSON, or with ``--check`` says whether it is fresh (exit code 1 when it is not)."""

from __future__ import annotations

import sys
from pathlib import Path

from dashboards.source.catalogue import FOLDER, files


def main(arguments: list[str]) -> int:
    """Write what is not fresh, and remove what no module makes any more."""
    made = files()
    stale = [name for name, content in made.items() if _read(FOLDER / name) != content]
    stale += [path.name for path in FOLDER.glob("*.json") if path.name not in made]
    if "--check" in arguments:
        sys.stdout.write(f"not fresh: {', '.join(stale)}; run python -m dashboards.source\n" if stale else "fresh\n")
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in stale:
        if name in made:
            (FOLDER / name).write_text(made[name], encoding="utf-8")
        else:
            (FOLDER / name).unlink()
    return 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
