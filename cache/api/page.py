"""``/``: the page for people, its files, its stream, and the door where it is not open to all."""

# no postponed annotations here: FastAPI reads those of functions inside functions
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files

from fastapi import APIRouter, Depends, Request, Response

from cache.api.access import Access
from cache.api.admin import Admin
from cache.api.auth import token_guard
from cache.api.live import Live
from cache.api.problems import ProblemError
from cache.api.stream import Stream
from cache.passes import COOKIE_S, Passes

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types"
)
"""Scripts and styles come from files of ours, nothing from elsewhere, and no text becomes markup."""

HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Page:
    """What the page is made of.

    Args:
        live: keeps its figures.
        passes: open it where it is behind the token; by themselves nobody has a cookie yet.
    """

    live: Live
    passes: Passes = field(default_factory=Passes)


def static_files() -> Mapping[str, tuple[str, bytes]]:
    """Content type and bytes of each file of the page, by name."""
    found = {}
    for file in files("cache.api").joinpath("static").iterdir():
        kind = _TYPES.get(file.name.rpartition(".")[2])
        if kind is not None:
            found[file.name] = (kind, file.read_bytes())
    return found


def page_routes(shown: Page, access: Access, token: str, admin: Admin) -> APIRouter:
    """The page's routes; none is in the OpenAPI document, which is for programs."""
    with_token = token_guard(token, admin.refused)

    def served() -> None:
        if access.page == "closed":
            raise ProblemError(403, "page_closed", "CACHE_API_PAGE=false keeps the page closed")

    def let_in(request: Request) -> None:
        if access.page == "token" and not has_cookie(request, shown.passes):
            with_token(request)

    router = APIRouter(include_in_schema=False, dependencies=[Depends(served)])
    _files(router, shown.passes, access)
    _doors(router, shown.passes, admin, with_token)

    @router.get("/cache/stream", dependencies=[Depends(let_in)])
    async def stream() -> Stream:
        """The page's figures as server-sent events, every other second."""
        return Stream(shown.live)

    return router


def has_cookie(request: Request, passes: Passes) -> bool:
    """Whether whoever asks came in before."""
    return passes.holds(request.cookies.get(passes.cookie))


def _files(router: APIRouter, passes: Passes, access: Access) -> None:
    static = static_files()

    def answered(name: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        kind, body = static[name]
        return Response(body, status, {"content-type": kind, **HEADERS, **(headers or {})})

    @router.get("/")
    async def page(request: Request, code: str = "") -> Response:
        """The page; or the door, where the cookie is missing. A code is exchanged for one."""
        if code and passes.redeem(code[:64]):
            # the address that is kept in the browser's history opens nothing any more
            return _with_cookie(Response(status_code=303, headers={"location": "/", **HEADERS}), passes)
        if access.page == "token" and not has_cookie(request, passes):
            return answered("door.html", 401, {"www-authenticate": 'Bearer realm="glasscache"'})
        return answered("page.html")

    @router.get("/page/{name}")
    async def file(name: str) -> Response:
        """A script or a style sheet; there is nothing secret in them."""
        if name not in static:
            raise ProblemError(404, "not_found", "the page has no such file")
        return answered(name)


def _doors(router: APIRouter, passes: Passes, admin: Admin, with_token: Callable[[Request], None]) -> None:
    @router.post("/page/session", dependencies=[Depends(with_token)])
    async def session(request: Request) -> Response:
        """A cookie for whoever has the token."""
        admin.admit()
        admin.did(request, "session", "page", hours=COOKIE_S // 3600)
        return _with_cookie(Response(status_code=204, headers=HEADERS), passes)


def _with_cookie(answer: Response, passes: Passes) -> Response:
    answer.set_cookie(passes.cookie, passes.issue(), max_age=COOKIE_S, path="/", httponly=True, samesite="strict")
    return answer
