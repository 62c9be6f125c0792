"""The bearer token: without one in the settings, what it guards is refused."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from fastapi import Request

from cache.api.problems import ProblemError
from cache.settings import LONGEST_TOKEN


def token_guard(token: str, refused: Callable[[Request, str], None]) -> Callable[[Request], None]:
    """A dependency that lets a request pass only with the token.

    Args:
        token: from the settings; empty closes the door (403).
        refused: told each request that did not pass, and the code of its problem.
    """

    def guard(request: Request) -> None:
        try:
            check(request)
        except ProblemError as problem:
            refused(request, problem.code)
            raise

    def check(request: Request) -> None:
        if not token:
            raise ProblemError(403, "token_not_configured", "set CACHE_API_TOKEN to use this endpoint")
        given = request.headers.getlist("authorization")
        if not given:
            raise ProblemError(401, "token_missing", "send Authorization: Bearer and the token", _CHALLENGE)
        scheme, _, text = given[0].partition(" ")
        fits = hmac.compare_digest(text.strip()[:LONGEST_TOKEN].encode(), token.encode())
        if len(given) > 1 or scheme.lower() != "bearer" or not fits:
            raise ProblemError(401, "token_invalid", "the token is not the one that is set", _CHALLENGE)

    return guard


_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="glasscache"'}
