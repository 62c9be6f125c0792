"""Errors as ``application/problem+json`` (RFC 9457) with a stable ``code``; no trace, no internals."""

from __future__ import annotations

import logging
import re
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from cache.errors import CacheError

_log = logging.getLogger("glasscache")

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """What went wrong with a request."""

    type: str = Field("about:blank", description="A URI of the kind of problem; about:blank: `code` says it all.")
    title: str = Field(description="The HTTP status in words.")
    status: int = Field(description="The HTTP status.")
    code: str = Field(description="A stable word for programs, such as `token_missing` or `pattern`.")
    detail: str = Field(description="What to change, for people.")


class ProblemError(Exception):
    """A request that is answered with a problem.

    Args:
        status: HTTP status.
        code: stable word.
        detail: what to change; never a key or a value.
        headers: sent along.
    """

    def __init__(self, status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers = status, code, detail, headers


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entries of the problems that a route answers with."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: schema}} for status in statuses}


def install(app: FastAPI) -> None:
    """Answer every error of the application as a problem."""

    async def on_problem(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ProblemError)
        return answer(error)

    async def on_http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        code = HTTPStatus(error.status_code).name.lower()
        headers = dict(error.headers) if error.headers else None
        return _answer(error.status_code, code, str(error.detail), headers)

    async def on_invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return _answer(422, "invalid_parameter", f"{where}: {first['msg']}")

    async def on_cache(_: Request, error: Exception) -> JSONResponse:
        return _answer(422, _code(error), str(error))

    async def on_anything(_: Request, error: Exception) -> JSONResponse:
        _log.error("a request failed: %s", type(error).__qualname__)
        return _answer(500, "internal", "the request failed; the server's log says more")

    app.add_exception_handler(ProblemError, on_problem)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(CacheError, on_cache)
    app.add_exception_handler(Exception, on_anything)


def _code(error: Exception) -> str:
    """A named error's stable word: UnknownCategoryError is ``unknown_category``, CacheKeyError is ``key``."""
    name = type(error).__name__.removesuffix("Error").removeprefix("Cache")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower() or "cache"


def problem(status: int, code: str, detail: str) -> Problem:
    """A problem whose title is the status in words."""
    return Problem(type="about:blank", title=HTTPStatus(status).phrase, status=status, code=code, detail=detail)


def answer(error: ProblemError) -> JSONResponse:
    """The answer to a request that is refused."""
    return _answer(error.status, error.code, error.detail, error.headers)


def _answer(status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(problem(status, code, detail).model_dump(), status, headers, media_type=MEDIA_TYPE)
