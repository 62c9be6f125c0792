"""What packages hand on: ``__all__`` is sorted and says the whole truth."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    ".".join(path.parent.relative_to(ROOT).parts): ast.parse(path.read_text())
    for top in ("cache", "telemetry")
    for path in sorted((ROOT / top).rglob("__init__.py"))
}


def assigned_all(tree: ast.Module) -> list[str] | None:
    """The literal ``__all__``, or None."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return None


def public_names(body: list[ast.stmt]) -> Iterator[str]:
    """Names without an underscore that a package defines or takes from our own modules, those loaded late included."""
    for node in body:
        if isinstance(node, ast.If):
            yield from public_names(node.body)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("cache", "telemetry"):
            yield from (
                alias.asname or alias.name for alias in node.names if not (alias.asname or alias.name).startswith("_")
            )
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name
        elif isinstance(node, ast.Assign):
            names = (target.id for target in node.targets if isinstance(target, ast.Name))
            yield from (name for name in names if not name.startswith("_"))


EXPORTING = {package: names for package, tree in PACKAGES.items() if (names := assigned_all(tree)) is not None}


def conventional(name: str) -> tuple[int, str]:
    """Sorting as isort does it: constants, then classes, then functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("package", sorted(EXPORTING))
def test_all_is_sorted_and_complete(package: str) -> None:
    """``__all__`` names exactly what the package defines and hands on, each once, in order."""
    assert EXPORTING[package] == sorted(set(public_names(PACKAGES[package].body)), key=conventional)


@pytest.mark.parametrize("package", sorted(EXPORTING))
def test_every_exported_name_is_there(package: str) -> None:
    """Each name of ``__all__`` can be had from the package."""
    module = importlib.import_module(package)
    assert [name for name in EXPORTING[package] if not hasattr(module, name)] == []


@pytest.mark.parametrize("package", sorted(PACKAGES.keys() - EXPORTING.keys()))
def test_packages_without_all_hand_nothing_on(package: str) -> None:
    """A package that has no ``__all__`` is no interface: it holds no public name."""
    assert list(public_names(PACKAGES[package].body)) == []


def test_the_top_has_an_interface() -> None:
    """``cache`` and ``telemetry`` say what is public."""
    assert {"cache", "telemetry"} <= EXPORTING.keys()
