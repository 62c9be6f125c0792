"""How a cache is opened: what ``Cache`` and ``AsyncCache`` have in common before any operation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from cache.core.at_once import Answers
from cache.core.engine import Engine
from cache.core.policies import Policy, PolicyTable
from cache.core.tenants import Tenants
from cache.errors import CacheKeyError
from cache.insight.prices import Prices
from cache.stores.forking import in_forked_child
from telemetry.vocabulary import Operation

if TYPE_CHECKING:
    from cache.settings import Settings


class Opened:
    """The constructors of a cache; a twin says how its parts are built.

    Args:
        parts: engine, runner and what else was opened.
    """

    _build: ClassVar[Callable[..., Any]]

    def __init__(self, parts: Any) -> None:
        self._parts = parts
        self._engine: Engine = parts.engine
        self._near = Answers(parts.engine, Operation.GET)
        self._near_or_compute = Answers(parts.engine, Operation.GET_OR_COMPUTE)
        self._checks = parts.engine.checks
        self._lender: tuple[Self, str] | None = None
        if not parts.lent:
            # a view has no tenants, and what is registered for a fork is never let go
            self._tenants: Tenants[Any] = Tenants(parts.engine)
            in_forked_child(self._tenants.begin_anew)

    @classmethod
    def from_settings(cls, settings: Settings | None = None, *, policies: Iterable[Policy] = (), **parts: Any) -> Self:
        """A cache as the environment and ``.env`` say.

        Args:
            settings: taken instead of the environment.
            policies: categories of the application beside the built-in ones.
            parts: ``recorder`` and ``clock``, handed in instead of the defaults.

        Raises:
            SettingsError: a setting is wrong; the text names the variable.
            CategoryError: a category cannot be registered.
        """
        from cache.settings import Settings

        return cls(cls._build(settings or Settings.load(), policies, **parts))

    @classmethod
    def from_url(cls, url: str, *, policies: Iterable[Policy] = (), **settings: Any) -> Self:
        """A cache on the store at ``url``; ``settings`` are those of ``Settings``, ``recorder`` and ``clock``.

        Args:
            url: ``redis://``, ``rediss://``, ``unix://``, ``embedded://``, or one that names several servers:
                ``redis+cluster://a,b``, ``redis+sentinel://a,b/service``.

        Raises:
            SettingsError: the URL or a setting is wrong.
        """
        from cache.settings import Settings

        parts = {name: settings.pop(name) for name in ("recorder", "clock") if name in settings}
        return cls(cls._build(Settings.of(redis_url=url, **settings), policies, **parts))

    @classmethod
    def embedded(cls, *, policies: Iterable[Policy] = (), **settings: Any) -> Self:
        """A cache on a Valkey server of its own, which ends with the process.

        Raises:
            EmbeddedServerError: the extra ``glasscache[embedded]`` is not installed, or the server does not start.
        """
        return cls.from_url("embedded://", policies=policies, **settings)

    def scoped(self, tenant: str) -> Self:
        """The cache of one tenant: what it stores answers, and is dropped, for nobody else.

        A view that is cheap to make for each request: it uses this cache's connections, accounts and policies, and is
        closed with it. Keys, tags, categories and patterns mean the tenant's own. It keeps nothing in the process.

        Args:
            tenant: who asks, as the server knows it and never as the caller says; any text.

        Raises:
            CacheKeyError: no text, empty, no valid Unicode, or asked of a tenant's cache.
        """
        if self._lender is not None:
            raise CacheKeyError("this is a tenant's cache already: ask the cache that it came from")
        view: Self = self._tenants.of(tenant, self._of_tenant)
        return view

    def _of_tenant(self, engine: Engine, tenant: str) -> Self:
        view = type(self)(replace(self._parts, engine=engine, lent=True))
        view._lender = self, tenant
        return view

    def _check(self, category: str, key: Any, compute: Callable[[], Any], tags: Sequence[str]) -> None:
        """Have a hit computed again in the background; nothing of it reaches the caller."""
        engine = self._engine
        try:
            policy = engine.policies[category]
            check = engine.checks and engine.checks.chosen(engine, policy, engine.want(policy, key, tags), compute)
            if check and not self._parts.runner.background(check):
                check.left()
        except Exception:
            engine.recorder.ledger.drop()

    @property
    def policies(self) -> PolicyTable:
        """The categories and what each promises."""
        return self._engine.policies

    @property
    def prices(self) -> Prices:
        """What computations cost, as the settings say."""
        prices: Prices = self._parts.settings.price_list
        return prices

    @property
    def pending(self) -> bool:
        """True while an invalidation waits for the store to come back."""
        return self._engine.pending.some
