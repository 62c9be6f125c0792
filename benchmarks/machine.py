"""Where the figures come from: processor, kernel, versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

from benchmarks.peers import NAMES, version
from benchmarks.servers import Server

PACKAGES = ("redis", "hiredis", "orjson", "numpy", "opentelemetry-sdk", "opentelemetry-instrumentation-redis")


def machine(server: Server) -> dict[str, str]:
    """What is told beside the tables."""
    installed = {name: importlib.metadata.version(name) for name in PACKAGES}
    peers = {name: version(key) or "not installed" for key, name in NAMES.items()}
    described = server.client().info("server")
    named = described.get("server_name", "redis")
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "server": f"{named} {described.get(f'{named}_version', described['redis_version'])}",
        **installed,
        **peers,
    }


def _processor() -> str:
    """What lscpu calls it, and whether it is lent by a hypervisor."""
    try:
        text = subprocess.run(
            ["lscpu"], capture_output=True, text=True, check=True, env={"LC_ALL": "C"} | dict(os.environ)
        )
    except (OSError, subprocess.CalledProcessError):
        return platform.processor() or platform.machine()
    facts = dict(line.split(":", 1) for line in text.stdout.splitlines() if ":" in line)
    named = [facts.get(name, "").strip() for name in ("Model name", "Hypervisor vendor", "L2 cache", "L3 cache")]
    model, lender, second, third = named
    return f"{model}{f', virtual ({lender})' if lender else ''}, L2 {second}, L3 {third}"


def _memory() -> str:
    try:
        line = Path("/proc/meminfo").read_text().splitlines()[0]
        return f"{int(line.split()[1]) / (1 << 20):.0f} GiB"
    except (OSError, ValueError, IndexError):
        return "unknown"
