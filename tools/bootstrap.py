"""Makes .venv with Python 3.11+ alone: no pip, no venv packages, no certificates are needed beforehand.

uv is taken from the environment when it is there, else fetched as a wheel whose SHA-256 is
written below, and unpacked; then ``uv sync --locked`` installs what uv.lock says.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import ssl
import subprocess
import sys
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


def own_uv() -> str:
    """Path of our uv, fetched once."""
    program = TOOLS / VERSION / ("uv.exe" if os.name == "nt" else "uv")
    if program.exists():
        return str(program)
    place = (sys.platform, platform.machine().lower(), libc())
    if place not in WHEELS:
        sys.exit(f"bootstrap: no uv wheel is listed for {place}; install uv {VERSION} and run make again")
    path, digest = WHEELS[place]
    data = fetch(BASE + path)
    if hashlib.sha256(data).hexdigest() != digest:
        sys.exit("bootstrap: the uv wheel is not the one that is expected")
    with zipfile.ZipFile(BytesIO(data)) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(("/uv", "/uv.exe")))
        program.parent.mkdir(parents=True, exist_ok=True)
        partial = program.with_suffix(".part")
        partial.write_bytes(wheel.read(name))
    partial.chmod(0o755)
    partial.rename(program)
    return str(program)


def main() -> None:
    """Bring .venv to the state of uv.lock."""
    if not (3, 11) <= sys.version_info[:2] < (3, 15):
        sys.exit(f"bootstrap: Python 3.11 to 3.14 is needed, this is {platform.python_version()}; set PYTHON=python3.12")
    uv = shutil.which("uv") or own_uv()
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "UV_PROJECT_ENVIRONMENT": str(ROOT / ".venv" / "env")}
    for name in ("UV_FIND_LINKS", "VIRTUAL_ENV"):
        environment.pop(name, None)
    command = [uv, "sync", "--locked", "--all-extras", "--python", sys.executable, *sys.argv[1:]]
    sys.exit(subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode)


if __name__ == "__main__":
    main()
