"""The routes: health, metrics, invalidation and explanation, as the specification and the contract say."""

# no postponed annotations here: FastAPI reads those of functions inside functions
import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from cache.api import pages
from cache.api.access import Access
from cache.api.admin import Admin
from cache.api.auth import token_guard
from cache.api.models import Alive, Explained, Health, Invalidated, Metrics
from cache.api.problems import ProblemError, responses
from cache.api.sharing import Shared
from cache.api.since import Since
from cache.async_layer import AsyncCache
from cache.audit import digest, of_tenant
from cache.fleet import Fleet
from cache.insight.prices import priced
from telemetry.vocabulary import Trigger

LONGEST_KEY = 2048
SINCE = (
    r"^([0-9]{1,9}[smhd]|s-[0-9a-f]{8}-[0-9]{1,12}"
    r"|20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z)$"
)
"""How a beginning is written, as the document says; more forms of RFC 3339 are taken."""

Tenant = Annotated[
    str | None,
    Query(min_length=1, max_length=512, description="Whose cache: as the application calls it in `scoped`."),
]
_PART = r"[A-Za-z0-9._~%:?-]{1,64}"


def pattern_of(prefixes: list[str]) -> str:
    """The patterns that the API takes: a known prefix, then names with at most five stars, none next to another."""
    return rf"^(?:{'|'.join(prefixes)}):(?:\*|{_PART}\*?(?:{_PART}\*?){{0,4}})$"


def cache_routes(cache: AsyncCache, past: Since, fleet: Fleet, token: str, admin: Admin) -> APIRouter:
    """``/cache/*``."""
    router = APIRouter(prefix="/cache", tags=["cache"])
    guarded = [Depends(token_guard(token, admin.refused)), Depends(each_parameter_once)]
    refusals = responses(401, 403, 422, 429)
    prefixes = sorted(cache.policies.prefixes)
    categories = sorted(cache.policies)
    of_all = Shared(fleet.summary)

    @router.get("/health", response_model=Health, response_model_exclude_none=True)
    async def health() -> dict[str, Any]:
        """The store's health. 200 whatever it says."""
        return await cache.health()

    @router.get("/metrics", response_model=Metrics, responses=responses(404, 409, 422))
    async def json_metrics(
        scope: Annotated[
            Literal["process", "fleet"],
            Query(description="`process`: the one that answers; `fleet`: all that share the store and report to it."),
        ] = "process",
        since: Annotated[
            str | None,
            Query(
                max_length=40,
                description="What this process did since then, and what changed: how long ago (`90s`, `5m`, `2h`), "
                "a time (`2026-01-31T12:00:00Z`), or the `snapshot` of an earlier answer.",
                examples=["5m"],
                # told, not enforced by the framework: what is no beginning has a code of its own
                json_schema_extra={"pattern": SINCE},
            ),
        ] = None,
    ) -> JSONResponse:
        """What the cache did in this process, or in all of them. 200 whatever the store says."""
        if scope == "process":
            return JSONResponse(priced(past.summary(since), cache.prices))
        if since is not None:
            raise ProblemError(409, "since", "a process knows its own past only: compare two snapshots of the fleet")
        return JSONResponse(priced(await of_all.ask(), cache.prices))

    @router.post("/invalidate", response_model=Invalidated, dependencies=guarded, responses=refusals)
    async def invalidate(
        request: Request,
        pattern: Annotated[
            str,
            Query(
                max_length=512,
                pattern=pattern_of(prefixes),
                description="A category's prefix, then names and stars: `context:task-1:*`, `prompt:*`.",
                examples=["context:task-1:*"],
            ),
        ],
        dry_run: Annotated[bool, Query(description="Only count the keys.")] = False,
        tenant: Tenant = None,
    ) -> dict[str, Any]:
        """Drop the keys that match, and make entries and writes in flight under them invalid."""
        admin.admit()
        mine = cache if tenant is None else cache.scoped(tenant)
        deleted = await mine.invalidate(pattern=pattern, trigger=Trigger.ADMIN, dry_run=dry_run)
        complete = not mine.pending
        category = cache.policies.prefixes[pattern.partition(":")[0]]
        facts = {"pattern": digest(pattern), "deleted": deleted, "dry_run": dry_run, "complete": complete}
        facts |= of_tenant(tenant)
        admin.did(request, "invalidate", category, **facts)
        return {"deleted": deleted, "pattern": pattern, "dry_run": dry_run, "complete": complete}

    @router.get("/explain", response_model=Explained, dependencies=guarded, responses=refusals)
    async def explain(
        request: Request,
        category: Annotated[str, Query(max_length=32, json_schema_extra={"enum": categories})],
        key: Annotated[
            str,
            Query(
                min_length=1,
                max_length=LONGEST_KEY,
                description='The key as JSON, such as `["task-1", 5]`, or as plain text.',
                examples=['["task-1", 5]'],
            ),
        ],
        tenant: Tenant = None,
    ) -> dict[str, Any]:
        """Where a key is and why it would miss; counts no request."""
        if category not in cache.policies:
            raise ProblemError(422, "unknown_category", f"there are {', '.join(categories)}")
        admin.admit()
        mine = cache if tenant is None else cache.scoped(tenant)
        told = await mine.explain(category, read_key(key))
        admin.did(request, "explain", category, key=told.digest, outcome=told.outcome.value, **of_tenant(tenant))
        return told.as_dict()

    return router


def read_key(text: str) -> Any:
    """A key out of its text: JSON where it is JSON, else the text itself.

    Read by the standard library, as the command reads it: large integers stay what they are.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def each_parameter_once(request: Request) -> None:
    """Refuse a parameter that is unknown or comes twice: what was meant is then a guess, and a costly one."""
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    given = [name for name, _ in request.query_params.multi_items()]
    if not known.issuperset(given):
        raise ProblemError(422, "unknown_parameter", f"there are {', '.join(sorted(known))}")
    if len(given) != len(set(given)):
        raise ProblemError(422, "doubled_parameter", "give each parameter once")


def probe_routes(app: FastAPI, scrape: Any, access: Access) -> None:
    """``/live``, ``/ready``, ``/metrics`` and the API's own document, which do not depend on the store."""

    @app.get("/live", response_model=Alive, tags=["probes"])
    async def live() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @app.get("/ready", response_model=Alive, tags=["probes"])
    async def ready() -> dict[str, str]:
        """The process can serve; a cache without its store still does."""
        return {"status": "ok"}

    @app.get(
        "/metrics",
        response_class=Response,
        tags=["probes"],
        responses={
            200: {"description": "Prometheus exposition.", "content": {"text/plain": {"schema": {"type": "string"}}}},
            **responses(403),
        },
    )
    async def prometheus() -> Response:
        """The metrics for Prometheus; where ``CACHE_API_METRICS`` says so."""
        if not access.metrics:
            raise ProblemError(403, "metrics_closed", "set CACHE_API_METRICS=true to serve this beyond loopback")
        body, content_type = scrape()
        return Response(body, headers={"content-type": content_type})

    def documented() -> None:
        if not access.docs:
            raise ProblemError(403, "docs_closed", "set CACHE_API_DOCS=true to serve this beyond loopback")

    @app.get("/openapi.json", include_in_schema=False, dependencies=[Depends(documented)])
    async def document() -> JSONResponse:
        return JSONResponse(app.openapi())

    @app.get("/docs", include_in_schema=False, dependencies=[Depends(documented)])
    async def docs() -> HTMLResponse:
        return HTMLResponse(pages.page(app.openapi()))
