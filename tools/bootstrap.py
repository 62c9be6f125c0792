"""Makes .venv with Python 3.11+ alone: no pip, no venv packages, no certificates are needed beforehand.

uv is fetched once, as a wheel whose SHA-256 is written below, and unpacked into .venv/uv; then ``uv sync --locked``
installs what uv.lock says into .venv/env; ``bootstrap.py bench`` does so for the benchmarks, into .venv/bench, and
``bootstrap.py page`` for the tests of the page, into .venv/page.
Proxies and certificates are taken from the environment.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".venv" / "uv"
VERSION = "0.13.9"
BASE = "https://files.pythonhosted.org/packages/"

WHEELS = {
    ("linux", "x86_64", "glibc"): (
        "3d/aa/26d64642d808de4a652579ef950d7cd2d37f080a8babf9c67c6b75fc4c3f/uv-0.13.9-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19",
    ),
    ("linux", "aarch64", "glibc"): (
        "57/15/94b6cd62ac3ff6550288328e8035288875197cbc183f51554b266a69877b/uv-0.13.9-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
        "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe",
    ),
    ("linux", "aarch64", "musl"): (
        "57/15/94b6cd62ac3ff6550288328e8035288875197cbc183f51554b266a69877b/uv-0.13.9-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
        "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe",
    ),
    ("linux", "x86_64", "musl"): (
        "fe/fe/794884de0efd3ac77a427cab21aa72c0483e100c55a42cd5cbb02c141b84/uv-0.13.9-py3-none-musllinux_1_1_x86_64.whl",
        "2c45530751517d6c3bbc69a19473f6effe47cce047bede01ffd8af7ea7b36b25",
    ),
    ("darwin", "x86_64", ""): (
        "1e/db/08e9ef4879bd667e6d7b4705e594e5bd3e4585f10fc63cb16b9fa2fac63e/uv-0.13.9-py3-none-macosx_10_12_x86_64.whl",
        "c16ed11e013557536b3e60065f1b912f6407bd6518e041b961e23ef9e6b4fbf5",
    ),
    ("darwin", "arm64", ""): (
        "f3/a7/a8d7b074798c7fb3b26b37584b8fe2e29df2ccdc24ce7902caab2a53edbf/uv-0.13.9-py3-none-macosx_11_0_arm64.whl",
        "66c512266d633bef48384a1f53003f41f2a8e7b36fe6e7fbfd3e0fd52d96fa63",
    ),
}
"""(system, machine, libc) -> path below BASE, SHA-256."""


CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE")
"""Where people name their own certificates; the first that is a file is taken."""

NOT_OURS = (
    "UV_FIND_LINKS",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_FROZEN",
    "VIRTUAL_ENV",
)
"""Settings of the machine that would make uv.lock look out of date, or put the packages elsewhere."""


SYNC = ("sync", "--locked", "--all-extras")
OTHERS = {"bench": (*SYNC, "--no-dev", "--group", "bench"), "page": (*SYNC, "--group", "page")}
"""The peers that are measured, and what drives a browser, stay out of the environment that tests run in."""


def libc() -> str:
    """glibc, musl, or nothing where the difference does not exist."""
    if sys.platform != "linux":
        return ""
    return "glibc" if platform.libc_ver()[0] == "glibc" else "musl"


def fetch(url: str) -> bytes:
    """Download; without certificates on the machine the hash alone vouches for the bytes."""
    try:
        return urllib.request.urlopen(url, timeout=120).read()
    except urllib.error.URLError as error:
        if not isinstance(error.reason, ssl.SSLCertVerificationError):
            raise
        unchecked = ssl.create_default_context()
        unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
        return urllib.request.urlopen(url, timeout=120, context=unchecked).read()


def unpack(data: bytes, program: Path) -> None:
    """Put the wheel's program in its place, whole or not at all."""
    program.parent.mkdir(parents=True, exist_ok=True)
    partial = program.with_suffix(f".{os.getpid()}")
    with zipfile.ZipFile(BytesIO(data)) as wheel:
        partial.write_bytes(wheel.read(next(name for name in wheel.namelist() if name.endswith("/uv"))))
    partial.chmod(0o755)
    partial.replace(program)


def own_uv() -> str:
    """Path of our uv, fetched once; where no wheel is listed, that of the machine's."""
    program = TOOLS / VERSION / "uv"
    if program.exists():
        return str(program)
    place = (sys.platform, platform.machine().lower(), libc())
    if place not in WHEELS:
        return shutil.which("uv") or sys.exit(
            f"bootstrap: no uv wheel is listed for {place}; install uv and run make again"
        )
    path, digest = WHEELS[place]
    print(f"bootstrap: fetching uv {VERSION}", file=sys.stderr, flush=True)
    data = fetch(BASE + path)
    if hashlib.sha256(data).hexdigest() != digest:
        sys.exit("bootstrap: the uv wheel that was fetched is not the one that is expected")
    unpack(data, program)
    return str(program)


def environment(name: str) -> dict[str, str]:
    """The environment for uv: the machine's, its certificates named as uv reads them, none of its indexes."""
    ours = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    place = str(ROOT / ".venv" / name)
    return {**ours, "UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never", "UV_PROJECT_ENVIRONMENT": place}


def main() -> None:
    """Bring .venv to the state of uv.lock, or run uv with the arguments that are given."""
    if not (3, 11) <= sys.version_info[:2] < (3, 15):
        found = f"{platform.python_version()} at {sys.executable}"
        sys.exit(
            f"bootstrap: Python 3.11 to 3.14 is needed, this is {found}; install one or set PYTHON=/path/to/python3.12"
        )
    named = next((path for name in CERTIFICATES if Path(path := os.environ.get(name, "")).is_file()), None)
    os.environ.pop("SSL_CERT_FILE", None)  # one that names no file would make uv trust nobody
    if named:
        os.environ["SSL_CERT_FILE"] = named
    try:
        uv = own_uv()
    except OSError as error:
        sys.exit(f"bootstrap: uv could not be fetched from {BASE}: {error}; is a proxy needed (HTTPS_PROXY)?")
    name = sys.argv[1] if len(sys.argv) == 2 and sys.argv[1] in OTHERS else "env"
    asked = sys.argv[1:] if name == "env" and sys.argv[1:] else [*OTHERS.get(name, SYNC), "--python", sys.executable]
    place = environment(name)
    sys.exit(subprocess.run([uv, *asked], cwd=ROOT, env=place, check=False).returncode)


if __name__ == "__main__":
    main()
