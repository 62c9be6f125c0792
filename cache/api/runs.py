"""``GET /cache/runs`` and ``GET /cache/runs/{run_id}``: the last runs of this process, open where metrics are."""

# no postponed annotations here: FastAPI reads those of functions inside functions
import os
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import JSONResponse

from cache.api.access import Access
from cache.api.admin import Admin
from cache.api.auth import token_guard
from cache.api.problems import ProblemError, responses
from cache.api.routes import each_parameter_once
from cache.api.run_models import OneRun, Runs
from telemetry.recorder import Recorder
from telemetry.run_ring import MOST_RUNS

WORST_WAITS = 10


def run_routes(recorder: Recorder, token: str, access: Access, admin: Admin) -> APIRouter:
    """The routes; beyond a loopback address they want the token, unless metrics are shown there."""
    locked = token_guard(token, admin.refused)

    def shown(request: Request) -> None:
        if not access.metrics:
            locked(request)

    router = APIRouter(prefix="/cache", tags=["cache"], dependencies=[Depends(shown), Depends(each_parameter_once)])

    @router.get("/runs", response_model=Runs, responses=responses(401, 403, 422))
    async def runs(
        most: Annotated[int, Query(ge=1, le=MOST_RUNS, description="How many at most.")] = 20,
    ) -> JSONResponse:
        """The last runs that used the cache in this process, and the keys that were waited for longest."""
        found: dict[str, Any] = {
            "scope": "process",
            "process": os.getpid(),
            "bytes": recorder.runs.size(),
            "runs": [run.summary() for run in recorder.runs.last(most)],
            "worst_waits": [waited.as_dict() for waited in recorder.waits.worst(WORST_WAITS)],
        }
        return JSONResponse(found)

    @router.get("/runs/{run_id}", response_model=OneRun, responses=responses(401, 403, 404, 422))
    async def run(
        run_id: Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="32 hex: a run's id, or its trace's.")],
    ) -> JSONResponse:
        """One run with its steps."""
        found = recorder.runs.find(run_id)
        if not found:
            raise ProblemError(404, "run_not_found", "this process has not run it, or has let it go")
        return JSONResponse({"process": os.getpid(), "runs": [part.whole() for part in found]})

    return router
