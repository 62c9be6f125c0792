"""``glasscache runs`` and ``glasscache run``: the last runs, and one of them, from a serving process or from Jaeger."""

from __future__ import annotations

import argparse
import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any
from urllib.parse import quote, urlencode

from cache import terminal
from cache.errors import CacheError
from cache.insight import jaeger, waterfall
from cache.settings import Settings
from telemetry import schema

LARGEST_ANSWER = 64 << 20
"""Bytes of runs; more are none."""

PATIENCE_S = 10.0
"""Seconds that an answer may take."""

MOST_SERVICES = 20
"""Services of Jaeger's that are asked for runs."""

_NOT_FOUND = 404
_SHAPE = (LookupError, TypeError, ValueError, AttributeError, RecursionError)


class RunsUnavailableError(CacheError):
    """Nobody who could tell of runs answers."""


def runs(arguments: argparse.Namespace) -> tuple[Any, str]:
    """The last runs: what programs are given, and what people are shown.

    Raises:
        RunsUnavailableError: nobody answers.
    """
    if arguments.jaeger:
        found = _last_of_jaeger(arguments.jaeger, arguments.most)
        data: Any = {"runs": found, "worst_waits": []}
    else:
        data = _ask(f"{_base(arguments.url)}/cache/runs?most={arguments.most}", _headers())
        if data is None:
            raise RunsUnavailableError(f"{_base(arguments.url)} has no /cache/runs; is glasscache served there?")
    return data, _read(data, _listed)


def run(arguments: argparse.Namespace) -> tuple[Any, str]:
    """One run, drawn: likewise.

    Raises:
        RunsUnavailableError: nobody answers, or nobody knows the run.
    """
    wanted = arguments.trace_id.lower()
    if not wanted.isascii() or not wanted.isalnum() or len(wanted) > jaeger.LONGEST_NAME:
        raise RunsUnavailableError("a run's id is 32 hexadecimal characters; `glasscache runs` shows them")
    if arguments.jaeger:
        found: Any = _read(_ask(f"{_base(arguments.jaeger)}/api/traces/{quote(wanted)}", {}), _of_jaeger)
    else:
        found = _read(_ask(f"{_base(arguments.url)}/cache/runs/{quote(wanted)}", _headers()), _of_ours)
    if not found:
        where = arguments.jaeger or arguments.url
        raise RunsUnavailableError(
            f"{_base(where)} does not know the run {wanted}: it ran in another process, or was let go"
            + ("" if arguments.jaeger else "; --jaeger URL asks Jaeger")
        )
    pages = _read(found, lambda parts: [waterfall.page(part, terminal.seconds, terminal.coloured) for part in parts])
    return {"runs": found}, "\n\n".join(pages)


def _of_ours(data: Any) -> list[dict[str, Any]]:
    return [] if data is None else list(data["runs"])


def _of_jaeger(data: Any) -> list[dict[str, Any]]:
    return [] if data is None else jaeger.runs_in(data)


def _last_of_jaeger(url: str, most: int) -> list[dict[str, Any]]:
    """The last runs of all services, without their steps, the newest first."""
    services = _read(_ask(f"{_base(url)}/api/services", {}), lambda data: [str(name) for name in data["data"] or ()])
    found: list[dict[str, Any]] = []
    for service in sorted(services)[:MOST_SERVICES]:
        query = urlencode({"service": service, "operation": schema.RUN_SPAN, "limit": most})
        found += _read(_ask(f"{_base(url)}/api/traces?{query}", {}), _of_jaeger)
    once = {run["span_id"]: {name: value for name, value in run.items() if name != "steps"} for run in found}
    return sorted(once.values(), key=lambda run: -run["began"])[:most]


def _listed(data: Any) -> str:
    rows = [_row(run) for run in data["runs"]]
    if not rows:
        return "no runs yet: an application's runs are kept in its own process, and in Jaeger (--jaeger URL)"
    head = ("run", "began (UTC)", "took", "hits", "misses", "errors", "cache", "computing", "waiting", "saved", "most")
    text = terminal.table(head, rows)
    waits = [_waited(waited) for waited in data["worst_waits"]]
    if not waits:
        return text
    titles = ("waited for", "key", "waits", "worst", "computed by")
    return f"{text}\n\n{terminal.table(titles, waits)}"


def _row(run: Mapping[str, Any]) -> Sequence[str]:
    began = datetime.fromtimestamp(run["began"], UTC).strftime("%H:%M:%S")
    pieces = run["critical_path"]["pieces"]
    counts = [str(int(run[name])) for name in ("hits", "misses", "errors")]
    times = [terminal.seconds(float(run[name])) for name in ("cache_s", "compute_s", "wait_s", "saved_s")]
    longest = f"{pieces[0]['part']} {pieces[0]['name']}" if pieces else "-"
    return (str(run["run_id"]), began, terminal.seconds(float(run["seconds"])), *counts, *times, longest)


def _waited(waited: Mapping[str, Any]) -> Sequence[str]:
    worst = terminal.seconds(float(waited["worst_s"]))
    return waited["category"], waited["digest"], str(waited["waits"]), worst, waited["leader_trace"] or "-"


def _read(data: Any, reader: Any) -> Any:
    """What a reader makes of an answer.

    Raises:
        RunsUnavailableError: it is of another shape.
    """
    try:
        return reader(data)
    except _SHAPE as error:
        raise RunsUnavailableError(f"the answer is none of runs ({type(error).__name__})") from None


def _base(url: str) -> str:
    """An address without a slash at its end.

    Raises:
        RunsUnavailableError: it is none.
    """
    if not url.startswith(("http://", "https://")) or "@" in url:
        raise RunsUnavailableError("an address begins with http:// or https:// and names no user")
    return url.rstrip("/")


def _headers() -> dict[str, str]:
    token = Settings.load().api_token.get_secret_value()
    return {"Authorization": f"Bearer {token}"} if token else {}


def _printable(data: Any) -> Any:
    """The same, with nothing in it that would move the cursor of a terminal."""
    if isinstance(data, str):
        return data if data.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in data)
    if isinstance(data, list):
        return [_printable(item) for item in data]
    return {_printable(name): _printable(item) for name, item in data.items()} if isinstance(data, dict) else data


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows nobody elsewhere: the token is for the address that was given."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _ask(address: str, headers: dict[str, str]) -> Any:
    """The JSON at an address; None where there is none.

    Raises:
        RunsUnavailableError: no answer, or none that is JSON.
    """
    opener = urllib.request.build_opener(_NoRedirect)
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - the scheme was checked
    place = address.partition("?")[0]
    try:
        with opener.open(request, timeout=PATIENCE_S) as answer:
            raw = answer.read(LARGEST_ANSWER + 1)
        if len(raw) > LARGEST_ANSWER:
            raise ValueError("too large")
        return _printable(json.loads(raw))
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == _NOT_FOUND:
            return None
        hint = "; set CACHE_API_TOKEN to its token" if error.code in (401, 403) else ""
        raise RunsUnavailableError(f"{place} answers {error.code}{hint}") from None
    except (OSError, HTTPException, ValueError, RecursionError) as error:
        raise RunsUnavailableError(f"{place} does not answer with runs ({type(error).__name__})") from None
