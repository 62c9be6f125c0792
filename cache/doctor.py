"""The doctor: looks at settings, server, rights, memory, clock and Collector, and names each finding's cure."""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from http.client import HTTPException
from typing import Any

from opentelemetry.util.re import parse_env_headers

from cache.clock import Deadline, SystemClock
from cache.core.health import parse_info
from cache.core.steps import Call, Lua, RunScript, StoreStep
from cache.errors import SettingsError, StoreError
from cache.settings import Settings
from cache.stores.connect import open_store
from cache.stores.contract import Store
from cache.stores.embedded import EmbeddedServer
from cache.stores.options import StoreOptions
from telemetry.otel_settings import Signal
from telemetry.vocabulary import ErrorType

PATIENCE_S = 2.0
"""Deadline of each question: a doctor may take longer than a cache."""

RIGHTS = (
    "+ping +info +time +get +mget +set +getrange +setrange +exists +del +unlink +pttl +pexpire +scan "
    "+hset +hsetnx +hget +hgetall +hexists +hkeys +hdel +eval +evalsha"
)
"""What a user of the store must be allowed, scripts and the fleet's figures included."""

_PROBE = Lua(
    "probe",
    """
-- KEYS a text and a hash that live a second: what the layer's own scripts ask for; returns what is refused
local text, hash, refused = KEYS[1], KEYS[2], {}
for _, call in ipairs({
  { 'SET', text, '1', 'PX', '1000' }, { 'GET', text }, { 'GETRANGE', text, '0', '0' }, { 'SETRANGE', text, '0', '1' },
  { 'EXISTS', text }, { 'PTTL', text }, { 'PEXPIRE', text, '1000' },
  { 'DEL', text },
  { 'HSETNX', hash, 'a', '1' }, { 'HSET', hash, 'a', '1' }, { 'PEXPIRE', hash, '1000' }, { 'HGET', hash, 'a' },
  { 'HEXISTS', hash, 'a' }, { 'HKEYS', hash }, { 'HGETALL', hash }, { 'HDEL', hash, 'a' }, { 'TIME' },
}) do
  local answer = redis.pcall(unpack(call))
  local trouble = type(answer) == 'table' and answer.err or ''
  if string.find(trouble, 'ACL failure') or string.find(trouble, 'NOPERM') then refused[#refused + 1] = call[1] end
end
return refused
""",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Args:
        level: ok, warn or fail.
        what: what was looked at.
        found: what it is.
        cure: what to change; empty when all is well.
    """

    level: str
    what: str
    found: str
    cure: str = ""

    def as_dict(self) -> dict[str, str]:
        """The same for JSON."""
        return asdict(self)


def examine(environ: Mapping[str, str] | None = None, settings: Settings | None = None) -> list[Finding]:
    """Look at everything that can be looked at; what depends on a broken thing is left out.

    Args:
        environ: where OpenTelemetry's variables are; None: the process's.
        settings: what runs by them; None: they are read. An embedded store that runs is nobody else's to ask.
    """
    running = settings is not None
    try:
        settings = settings or Settings.load()
    except SettingsError as error:
        return [Finding("fail", "settings", str(error), "correct the variable")]
    findings = [Finding("ok", "settings", "complete")]
    if not settings.enabled:
        findings.append(Finding("warn", "caching", "disabled", "set CACHE_ENABLED=true"))
    if not (running and settings.redis_url.get_secret_value().startswith("embedded:")):
        findings += _examine_store(settings)
    findings += _collector(os.environ if environ is None else environ)
    return findings


def _examine_store(settings: Settings) -> list[Finding]:
    url, server = settings.redis_url.get_secret_value(), None
    try:
        if url.startswith("embedded:"):
            server = EmbeddedServer().start()
            url = server.url
        options = StoreOptions(
            password_file=settings.password_file, sentinel_password_file=settings.sentinel_password_file
        )
        store = open_store(url, options, on_breaker=lambda _store, _state: None, clock=SystemClock())
    except Exception as error:
        return [Finding("fail", "store", str(error), "correct REDIS_URL, or install what it needs")]
    try:
        findings = list(_questions(store, settings.namespace))
        if settings.locals and findings[0].level == "ok":
            findings.append(_tracking(store))
        return findings
    finally:
        store.close()
        if server is not None:
            server.stop()


def _ask(store: Store, *args: str) -> Any:
    return store.execute(Call(args, Deadline(SystemClock(), PATIENCE_S)))


def _questions(store: Store, namespace: str) -> Iterator[Finding]:
    try:
        _ask(store, "PING")
    except StoreError as trouble:
        yield Finding("fail", "connection", trouble.kind.value, _CURES.get(trouble.kind, "start the server"))
        return
    yield Finding("ok", "connection", "answers")
    try:
        info = parse_info(_ask(store, "INFO"))
    except StoreError as trouble:
        info = {}
        yield Finding("warn", "INFO", trouble.kind.value, "allow +info: without it a restart from disk goes unseen")
    yield from _server(info)
    yield from _memory(info)
    yield from _rights(store, f"{namespace}:" if namespace else "")
    yield from _clock(store)


_CURES = {
    ErrorType.AUTH: "correct the user or password in REDIS_URL",
    ErrorType.TIMEOUT: "the server is reached and does not answer, or a firewall drops its packets",
    ErrorType.REFUSED: "start the server, or correct host and port in REDIS_URL",
    ErrorType.LOADING: "wait: the server is loading its data",
    ErrorType.NOPERM: f"allow {RIGHTS} to this user",
    ErrorType.OOM: "raise maxmemory, or let the server evict",
    ErrorType.READONLY: "name the primary in REDIS_URL: a replica takes no writes",
    ErrorType.PROTOCOL: "something else than Redis or Valkey listens there",
}


def _server(info: dict[str, str]) -> Iterator[Finding]:
    valkey, redis = info.get("valkey_version"), info.get("redis_version", "")
    version = valkey or redis
    if not version:
        return
    name, oldest = ("Valkey", 8) if valkey else ("Redis", 7)
    major = int(version.partition(".")[0]) if version.partition(".")[0].isdigit() else 0
    if major < oldest:
        yield Finding("fail", "server", f"{name} {version}", "use Redis 7 or later, or Valkey 8 or later")
    else:
        yield Finding("ok", "server", f"{name} {version}")


def _memory(info: dict[str, str]) -> Iterator[Finding]:
    policy, limit = info.get("maxmemory_policy", ""), int(info.get("maxmemory", "0") or 0)
    if not policy:
        return
    if limit == 0:
        yield Finding("warn", "memory", "no maxmemory", "CONFIG SET maxmemory 256mb, or the cache may fill the machine")
    elif policy == "noeviction":
        yield Finding("fail", "memory", policy, "CONFIG SET maxmemory-policy allkeys-lru: a full server refuses writes")
    elif not policy.startswith("allkeys"):
        yield Finding("warn", "memory", policy, "CONFIG SET maxmemory-policy allkeys-lru")
    else:
        yield Finding("ok", "memory", f"{limit >> 20} MiB, {policy}")


def _rights(store: Store, prefix: str) -> Iterator[Finding]:
    """Each command that the cache needs, also inside scripts, on keys of its namespace that live one second."""
    key, deadline = f"{prefix}prompt:doctor", Deadline(SystemClock(), PATIENCE_S)
    # where there are slots it shares the key's
    hash_key = f"{prefix}prompt:{{{key}}}"
    needed: tuple[tuple[str, StoreStep], ...] = (
        ("SET", Call(("SET", key, "1", "PX", 1000), deadline)),
        ("GET", Call(("GET", key), deadline)),
        ("MGET", Call(("MGET", key), deadline)),
        ("EVAL", RunScript(_PROBE, [key, hash_key], [], deadline)),
        # what the server knows already is run by its digest
        ("EVALSHA", RunScript(_PROBE, [key, hash_key], [], deadline)),
        ("SCAN", Call(("SCAN", "0", "MATCH", f"{prefix}prompt:doctor", "COUNT", 1), deadline)),
        ("UNLINK", Call(("UNLINK", key), deadline)),
        ("DEL", Call(("DEL", key), deadline)),
    )
    missing: dict[str, ErrorType] = {}
    for name, step in needed:
        try:
            reply = store.execute(step)
        except StoreError as trouble:
            missing[name] = trouble.kind
        else:
            if name.startswith("EVAL"):
                missing |= {word.decode(): ErrorType.NOPERM for word in reply}
    if missing:
        cure = f"ACL SETUSER: allow {RIGHTS} on the cache's keys"
        if ErrorType.NOPERM not in missing.values():
            cure = _CURES.get(next(iter(missing.values())), "see the server's log")
        yield Finding("fail", "rights", ", ".join(f"{name} ({kind.value})" for name, kind in missing.items()), cure)
    else:
        yield Finding("ok", "rights", "every command that the cache needs")


def _tracking(store: Store) -> Finding:
    """Whether the server pushes changes to the local tier; switching off what is off asks for the same right."""
    try:
        _ask(store, "CLIENT", "TRACKING", "OFF")
    except StoreError as trouble:
        cure = "allow +client|tracking to this user, or use Redis 6 or later: until then nothing is kept in the process"
        return Finding("warn", "local tier", trouble.kind.value, cure)
    return Finding("ok", "local tier", "the server pushes changes")


def _clock(store: Store) -> Iterator[Finding]:
    try:
        reply = _ask(store, "TIME")
        apart = abs(time.time() - (int(reply[0]) + int(reply[1]) / 1e6))
    except (StoreError, TypeError, ValueError, IndexError):
        return
    if apart > 1.0:
        yield Finding(
            "warn", "clock", f"{apart:.1f} s from the server's", "run a time service: ages and TTLs are off by it"
        )
    else:
        yield Finding("ok", "clock", f"{apart * 1000:.0f} ms from the server's")


def _collector(environ: Mapping[str, str]) -> Iterator[Finding]:
    """An empty export to each place that traces and metrics go to: a port that is open is no Collector yet."""
    signals = [Signal.from_mapping(environ, name, console=False, otlp=None) for name in ("TRACES", "METRICS")]
    faults = [signal.fault for signal in signals if signal.fault]
    if faults:
        what, _, cure = faults[0].partition("; for example ")
        yield Finding("fail", "collector", what, cure)
        return
    places = dict.fromkeys(signal.endpoint for signal in signals if "otlp" in signal.exporters)
    if not places:
        yield Finding("ok", "collector", "none is set (OTEL_EXPORTER_OTLP_ENDPOINT)")
        return
    headers = parse_env_headers(environ.get("OTEL_EXPORTER_OTLP_HEADERS", ""), liberal=True)
    found = dict.fromkeys(_export_nothing(place, headers) for place in places)
    for level, what, cure in found:
        yield Finding(level, "collector", what, cure)


def _export_nothing(endpoint: str, headers: Mapping[str, str]) -> tuple[str, str, str]:
    """Level, finding and cure of one place; the place itself may hold a password and is not shown."""
    told = {**headers, "Content-Type": "application/x-protobuf"}
    try:
        request = urllib.request.Request(endpoint, b"", told)  # noqa: S310 - no fault: the scheme is http(s)
        urllib.request.urlopen(request, timeout=PATIENCE_S).close()  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
        return "warn", f"answers {error.code}", "OTLP over HTTP is wanted there (port 4318); its headers may be missing"
    except (OSError, ValueError, HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return "warn", type(reason).__name__, "start it, or correct OTEL_EXPORTER_OTLP_ENDPOINT"
    return "ok", "takes what it is sent", ""
