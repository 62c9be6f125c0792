"""The one place where concrete parts meet: settings become an engine, a store and a runner."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from pydantic import SecretStr

from cache.clock import Clock, SystemClock
from cache.core import keys, nearby
from cache.core.budget import Budgets
from cache.core.engine import Engine
from cache.core.entry import Sealer
from cache.core.flights import Flights
from cache.core.generations import token_in
from cache.core.hiding import Hidden
from cache.core.history import History
from cache.core.local import LocalTier
from cache.core.pending import Debts, Pending
from cache.core.policies import Policy, PolicyTable
from cache.core.together import Questions
from cache.insight.checks import Checks
from cache.metrics import get_metrics
from cache.running import AsyncRunner, Runner
from cache.settings import Settings
from cache.stores import files
from cache.stores.connect import StoreOptions, open_async_store, open_listener, open_store, settle_s
from cache.stores.contract import AsyncStore, Store
from cache.stores.embedded import EmbeddedServer
from cache.stores.forking import in_forked_child
from cache.stores.listening import Listener
from telemetry.logs import StateLog
from telemetry.recorder import Recorder
from telemetry.vocabulary import BreakerState, Tier

_log = logging.getLogger("glasscache")

P = TypeVar("P", Runner, AsyncRunner, Flights, Questions, Pending, Debts, Budgets, History, LocalTier, Listener, Checks)


@dataclass(slots=True)
class Parts:
    """What a blocking cache is made of.

    Args:
        server: the embedded server, when this cache started one.
        lent: another cache's, which closes them.
    """

    engine: Engine
    runner: Runner
    settings: Settings
    server: EmbeddedServer | None = None
    listener: Listener | None = None
    lent: bool = False

    def close(self, seconds: float) -> None:
        """Drain and close within ``seconds``; then end the server that was started."""
        if self.lent:
            return
        if self.engine.checks is not None:
            self.engine.checks.close()
        if self.listener is not None:
            self.listener.close(seconds)
        self.runner.close(seconds)
        if self.server is not None:
            self.server.stop()


@dataclass(slots=True)
class AsyncParts:
    """What an async cache is made of."""

    engine: Engine
    runner: AsyncRunner
    settings: Settings
    server: EmbeddedServer | None = None
    listener: Listener | None = None
    lent: bool = False

    async def aclose(self, seconds: float) -> None:
        """Drain and close within ``seconds``; then end the server that was started."""
        if self.lent:
            return
        if self.engine.checks is not None:
            self.engine.checks.close()
        if self.listener is not None:
            await asyncio.to_thread(self.listener.close, seconds)
        await self.runner.aclose(seconds)
        if self.server is not None:
            self.server.stop()


def build(
    settings: Settings,
    policies: Iterable[Policy] = (),
    *,
    recorder: Recorder | None = None,
    clock: Clock | None = None,
    store: Store | None = None,
) -> Parts:
    """Parts of a blocking cache; ``store`` replaces the one that the settings name."""
    clock, recorder, policies = clock or SystemClock(), recorder or get_metrics().recorder, tuple(policies)
    url, server = _server(settings) if store is None else ("", None)
    store = store or open_store(
        url, _options(settings, policies), on_breaker=_watch(recorder), clock=clock, on_dropped=recorder.ledger.drop
    )
    engine = _engine(settings, policies, recorder, clock, store)
    listener = _listener(settings, engine, store, url)
    return Parts(engine, _forking(Runner(store)), settings, server, listener)


def build_async(
    settings: Settings,
    policies: Iterable[Policy] = (),
    *,
    recorder: Recorder | None = None,
    clock: Clock | None = None,
    store: AsyncStore | None = None,
) -> AsyncParts:
    """Parts of an async cache."""
    clock, recorder, policies = clock or SystemClock(), recorder or get_metrics().recorder, tuple(policies)
    url, server = _server(settings) if store is None else ("", None)
    store = store or open_async_store(
        url, _options(settings, policies), on_breaker=_watch(recorder), clock=clock, on_dropped=recorder.ledger.drop
    )
    engine = _engine(settings, policies, recorder, clock, store)
    listener = _listener(settings, engine, store, url)
    return AsyncParts(engine, _forking(AsyncRunner(store)), settings, server, listener)


def build_plain(settings: Settings, *, recorder: Recorder | None = None) -> Parts:
    """Parts of the plain client: the same as a cache's, without a namespace, for keys are taken as they are."""
    return build(settings.model_copy(update={"namespace": ""}), recorder=recorder)


def build_plain_async(settings: Settings, *, recorder: Recorder | None = None) -> AsyncParts:
    """Parts of the plain client's twin."""
    return build_async(settings.model_copy(update={"namespace": ""}), recorder=recorder)


def async_twin(parts: Parts) -> AsyncParts:
    """Parts of an async cache that shares flights, memory and pending invalidations with a blocking one."""
    engine, url = parts.engine, parts.server.url if parts.server is not None else _url(parts.settings)
    store = open_async_store(
        url,
        _options(parts.settings, engine.policies.values()),
        on_breaker=_watch(engine.recorder),
        clock=engine.clock,
        on_dropped=engine.recorder.ledger.drop,
    )
    twin = replace(engine, identity=store.identity, breaker=store.breaker_state)
    twin.pending = engine.pending
    return AsyncParts(twin, _forking(AsyncRunner(store)), parts.settings)


def _engine(
    settings: Settings, policies: Iterable[Policy], recorder: Recorder, clock: Clock, store: Store | AsyncStore
) -> Engine:
    table = PolicyTable(policies).with_ttls(settings.category_ttls()).with_local(settings.locals)
    table = table.with_repeatable(settings.repeatables)
    for name, policy in table.items():
        recorder.register_category(name, policy.ttl_s)
    engine = Engine(
        recorder=recorder,
        clock=clock,
        identity=_no_identity if settings.trust_restarts else store.identity,
        breaker=store.breaker_state,
        unchanged=files.unchanged,
        policies=table,
        namespace=settings.namespace,
        hidden=Hidden(_bytes(settings.key_secret), settings.namespace) if settings.hides_keys else None,
        sealer=_sealer(settings, clock),
        enabled=settings.enabled,
        read_s=settings.read_deadline,
        write_s=settings.write_deadline,
        settle_s=settle_s(_url(settings)),
        checks=_checks(settings, table, clock),
        budgets=Budgets(settings.tenant_max_bytes, clock.monotonic) if settings.tenant_max_bytes else None,
    )
    if engine.budgets is not None:
        _forking(engine.budgets)
    _forking(engine.flights)
    _forking(engine.questions)
    _forking(engine.pending)
    _forking(engine.debts)
    _forking(engine.history)
    return engine


def _listener(settings: Settings, engine: Engine, store: Store | AsyncStore, url: str) -> Listener | None:
    """Give the engine a local tier when a category asks for one; what keeps it true."""
    policies = tuple(engine.policies.values())
    if not url or not settings.enabled or all(policy.tier is not Tier.LOCAL for policy in policies):
        return None
    tier = LocalTier(
        settings.local_max_bytes,
        scope_name=engine.scope_name,
        token_of=lambda scope, raw: token_in(scope, raw, engine.identity()),
        monotonic=engine.clock.monotonic,
        accounts=engine.recorder.local,
    )
    listener = open_listener(
        url,
        _options(settings),
        tier,
        nearby.prefixes(settings.namespace, policies),
        serving=getattr(store, "serving", store.identity),
        clock=engine.clock,
    )
    listener.find = getattr(store, "where", listener.find)
    engine.local = _forking(tier)
    return _forking(listener)


def _checks(settings: Settings, table: PolicyTable, clock: Clock) -> Checks | None:
    """What computes a share of the hits again, where a category is repeatable."""
    categories = [name for name, policy in table.items() if policy.repeatable]
    if not categories or not settings.verify_share or not settings.enabled:
        return None
    share, rate = settings.verify_share, settings.verify_rate
    return _forking(Checks(categories, share, rate, drop=settings.verify_drop, monotonic=clock.monotonic))


def _sealer(settings: Settings, clock: Clock) -> Sealer:
    """Seals by the key of the settings; believes what the old one sealed for a while from now on."""
    until = clock.monotonic() + settings.signing_window
    return Sealer(_bytes(settings.signing_key), _bytes(settings.signing_key_old), lambda: clock.monotonic() < until)


def _bytes(secret: SecretStr) -> bytes:
    return secret.get_secret_value().encode()


def _forking(part: P) -> P:
    """The part itself, which from now on begins anew in each forked child."""
    in_forked_child(part.begin_anew)
    return part


def _no_identity() -> bytes:
    """The setting that trusts restarts: no server is told from another."""
    return b""


def _url(settings: Settings) -> str:
    return settings.redis_url.get_secret_value()


def _server(settings: Settings) -> tuple[str, EmbeddedServer | None]:
    """The URL to connect to, and the server that was started for it."""
    url = _url(settings)
    if not settings.enabled or not url.startswith("embedded:"):
        return url, None
    server = EmbeddedServer()
    server.start()
    return server.url, server


def _options(settings: Settings, policies: Iterable[Policy] = ()) -> StoreOptions:
    within = keys.within(settings.namespace)
    return StoreOptions(
        replica_prefixes=tuple(f"{within}{policy.prefix}:" for policy in policies if policy.read_replicas),
        max_connections=settings.max_connections,
        fast_path=settings.fast_path,
        password_file=settings.password_file,
        sentinel_password_file=settings.sentinel_password_file,
    )


def _watch(recorder: Recorder) -> Callable[[str, BreakerState], None]:
    """What a breaker tells its changes: the metrics, and the log once per change."""
    log = StateLog(_log)

    def changed(store: str, state: BreakerState) -> None:
        recorder.breaker(store, state)
        log.changed("breaker", state.value, store=store)

    return changed
