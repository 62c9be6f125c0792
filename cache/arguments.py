"""The command line: what each command takes, with examples; nothing is carried out here."""

from __future__ import annotations

import argparse
import math
import os
from importlib.metadata import version
from pathlib import Path

from cache import advising, comparing
from telemetry.run_ring import MOST_RUNS

MOST_WORKERS = 64

_EXAMPLES = {
    "demo": "glasscache demo\n  glasscache demo ./docs --json\n  glasscache demo --serve",
    "serve": "glasscache serve\n  REDIS_URL=embedded:// glasscache serve --port 9000\n"
    "  glasscache serve --workers 4 --metrics-port 9464",
    "traffic": "glasscache traffic\n  REDIS_URL=redis://localhost glasscache traffic ./docs --pace 0.2 --workers 2\n"
    "  glasscache traffic --pace 0 --runs 100 --json",
    "stats": "glasscache stats\n  glasscache stats --fleet\n  glasscache stats --url http://cache:8000 --json",
    "runs": "glasscache runs\n  glasscache runs --url http://cache:8000 --json\n"
    "  glasscache runs --jaeger http://localhost:16686",
    "run": "glasscache run 4bf92f3577b34da6a3ce929d0e0e4736\n"
    "  glasscache run 4bf92f3577b34da6a3ce929d0e0e4736 --jaeger http://localhost:16686",
    "explain": "glasscache explain context task-1 5\n"
    "  CACHE_API_TOKEN=... glasscache explain --url http://127.0.0.1:8000 context task-1 5\n"
    '  glasscache explain tool shout \'{"text": "hi"}\'\n'
    "the shipped workflow's keys name more: a tool's version and its sandbox's root, an embedding's model and role\n"
    '  glasscache explain tool read_file \'{"path": "a.txt"}\' \'{"version": "1", "root": "/the/folder"}\'\n'
    "  glasscache explain embedding multilingual-e5-small query 384 'where is the parser?'",
    "invalidate": "glasscache invalidate --tag task:task-1\n"
    "  glasscache invalidate --pattern 'tool:read_file:*' --dry-run\n"
    "  glasscache invalidate --all",
    "advise": "glasscache advise --trace cluster001.csv\n"
    "  glasscache advise --trace cluster001.csv --ttl 600 --gain 0.02 --json\n"
    "each line: timestamp,key,key size,value size,client id,operation,TTL (as in github.com/twitter/cache-trace)",
    "compare": "glasscache compare before.json after.json\n"
    "  curl -s http://127.0.0.1:8000/cache/metrics | glasscache compare before.json - --all\n"
    "exit code: 0 nothing is worse, 1 something is, 2 the snapshots or the command line are wrong",
    "doctor": "glasscache doctor\n  glasscache doctor --json",
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        "glasscache", description="A cache layer for agent workflows that one can see through."
    )
    top.add_argument("--version", action="version", version=f"glasscache {version('glasscache')}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=f"examples:\n  {_EXAMPLES[name]}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        made.add_argument("--json", action="store_true", help="print JSON for programs")
        return made

    demo = command("demo", "Run a real workflow cold, warm and after a change, and show why it got faster.")
    demo.add_argument("folder", nargs="?", type=Path, help="text or source files; a package of Python's own by default")
    demo.add_argument("--serve", action="store_true", help="afterwards serve the API until interrupted")
    serve = command("serve", "Serve the API.")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    serve.add_argument("--port", type=_port, default=8000, help="port to listen on (default: %(default)s)")
    _process_options(serve)
    traffic = command("traffic", "Run the shipped workflow over a folder again and again, with changes now and then.")
    traffic.add_argument("folder", nargs="?", type=Path, help="as for demo; a copy is used")
    traffic.add_argument("--pace", type=_seconds, default=1.0, help="seconds between runs (default: %(default)s)")
    traffic.add_argument("--runs", type=_count, help="runs of each worker, which then waits; endless by default")
    _process_options(traffic)
    stats = command("stats", "Show the figures of a running API.")
    stats.add_argument("--url", default="http://127.0.0.1:8000", help="where it is served (default: %(default)s)")
    stats.add_argument("--fleet", action="store_true", help="of all processes that share the store")
    runs = command("runs", "List the last runs of a workflow and what the cache did for them.")
    runs.add_argument("--most", type=_most_runs, default=20, help="how many, at most 64 (default: %(default)s)")
    _run_sources(runs)
    run = command("run", "Draw one run: what took when, whose time it was, why what missed did miss.")
    run.add_argument("trace_id", metavar="TRACE_ID", help="id of the run, or of its trace: 32 hexadecimal characters")
    _run_sources(run)
    _key_options(command("explain", "Show where a key is and why it would hit or miss."))
    _drop_options(command("invalidate", "Make entries invalid."))
    advising.add_arguments(
        command("advise", "Show what other TTLs would have given of a trace of requests, and advise one.")
    )
    comparing.add_arguments(
        command("compare", "Tell what changed between two snapshots of the metrics, and what chance explains.")
    )
    command("doctor", "Check settings, server, rights, memory, clock and Collector.")
    return top


def _key_options(command: argparse.ArgumentParser) -> None:
    """Which key is explained, and by whom."""
    command.add_argument("category", help="context, embedding, tool, prompt or a registered one")
    command.add_argument("--url", help="ask the API that is served there, which also knows what it did to the key")
    command.add_argument("key", nargs="+", help="what the key is made from; JSON where it is JSON, else text")
    command.add_argument("--tenant", help="whose cache, as the application calls it")


def _drop_options(command: argparse.ArgumentParser) -> None:
    """What is made invalid."""
    command.add_argument("--tag", action="append", default=[], help="a tag such as task:task-1; may be repeated")
    command.add_argument("--category", action="append", default=[], help="a whole category; may be repeated")
    command.add_argument("--pattern", help="a prefix and a glob, such as 'context:task-1:*'")
    command.add_argument("--all", action="store_true", help="every category")
    command.add_argument("--dry-run", action="store_true", help="only count the keys (patterns, categories and --all)")
    command.add_argument("--tenant", help="whose cache, as the application calls it")


def _process_options(command: argparse.ArgumentParser) -> None:
    """What the commands that run for long have in common."""
    command.add_argument("--workers", type=_workers, default=1, help="processes (default: %(default)s)")
    command.add_argument(
        "--metrics-port",
        type=_port,
        help="port of the first worker's own /metrics, the others' follow (default: OTEL_EXPORTER_PROMETHEUS_PORT, "
        "else none); it listens on OTEL_EXPORTER_PROMETHEUS_HOST, else localhost",
    )


def _run_sources(command: argparse.ArgumentParser) -> None:
    """Who is asked for runs."""
    whose = "where the API of the process that ran it is (default: %(default)s)"
    command.add_argument("--url", default="http://127.0.0.1:8000", help=whose)
    command.add_argument(
        "--jaeger",
        metavar="URL",
        default=os.environ.get("CACHE_JAEGER_URL", ""),
        help="ask Jaeger there instead (default: CACHE_JAEGER_URL)",
    )


def _most_runs(text: str) -> int:
    number = _count(text)
    if number > MOST_RUNS:
        raise argparse.ArgumentTypeError(f"more than {MOST_RUNS} are not kept")
    return number


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _workers(text: str) -> int:
    number = _count(text)
    if number > MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"{number} workers are more than {MOST_WORKERS}")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number < math.inf:
        raise ValueError(text)
    return number


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text[:6]) <= 65535):
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)
