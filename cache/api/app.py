"""The application: FastAPI over one async cache."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from cache.api import problems
from cache.api.access import Access
from cache.api.admin import Admin
from cache.api.gate import Gate
from cache.api.live import Live
from cache.api.page import Page, page_routes
from cache.api.routes import cache_routes, probe_routes
from cache.api.runs import run_routes
from cache.api.since import Since
from cache.async_layer import AsyncCache
from cache.fleet import Fleet
from cache.metrics import CacheMetrics

Scrape = Callable[[], tuple[bytes, str]]

_ABOUT = "Health, metrics and invalidation of the cache. Errors are application/problem+json with a stable `code`."


def no_scrape() -> tuple[bytes, str]:
    """The exposition where no Prometheus reader was set up."""
    return b"", "text/plain; version=1.0.0; charset=utf-8"


def create_app(  # noqa: PLR0913 - everything but the first two has a default
    cache: AsyncCache,
    metrics: CacheMetrics,
    *,
    token: str = "",
    scrape: Scrape = no_scrape,
    fleet: Fleet | None = None,
    access: Access | None = None,
    page: Page | None = None,
) -> FastAPI:
    """The API over a cache and a fleet, which it closes at its end.

    Args:
        cache: what is asked and invalidated.
        metrics: whose figures are shown.
        token: bearer token of ``/cache/invalidate`` and ``/cache/explain``; empty refuses both.
        scrape: gives the Prometheus exposition and its content type.
        fleet: gives the figures of all processes; None: this process reports to no fleet.
        access: who may come in and what is shown; None: as on a loopback address.
        page: what is shown at ``/``; None: the fleet's figures, without an examination.
    """
    access = access or Access()
    fleet = fleet or Fleet(metrics.recorder.ledger, alone="it does not report to a fleet")

    past = Since(metrics)
    page = page or Page(Live(fleet.look, metrics.recorder.ledger.categories))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with page.live.running(), past.remembering():
            yield
        await cache.aclose()
        await asyncio.to_thread(fleet.close)

    # no redirect from /live/ to /live: it would lead to whatever host the request names
    app = FastAPI(
        title="glasscache",
        version=version("glasscache"),
        description=_ABOUT,
        lifespan=lifespan,
        redirect_slashes=False,
        # its own pages load scripts from another host
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    admin = Admin(access.per_minute, access.clock)
    app.include_router(cache_routes(cache, past, fleet, token, admin))
    app.include_router(page_routes(page, access, token, admin))
    app.include_router(run_routes(metrics.recorder, token, access, admin))
    probe_routes(app, scrape, access)
    problems.install(app)
    app.add_middleware(Gate, access=access)
    _document(app)
    return app


def _document(app: FastAPI) -> None:
    """Put the problem's schema into the OpenAPI document, and take FastAPI's own error schemas out."""
    original = app.openapi

    def openapi() -> dict[str, object]:
        document = original()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = problems.Problem.model_json_schema()
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
