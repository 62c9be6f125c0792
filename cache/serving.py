"""``glasscache serve``: telemetry, cache and API in one process, ended cleanly."""

from __future__ import annotations

from collections.abc import Callable

from cache.errors import CacheError
from cache.settings import Settings
from telemetry.logs import configure_logging


def serve(settings: Settings, host: str, port: int, rehearsal: Callable[[], None] | None = None) -> int:
    """Serve the API until interrupted; returns the exit code.

    Args:
        rehearsal: is run before, in this process and under its telemetry.

    Raises:
        CacheError: the extra ``glasscache[api]`` is not installed.
    """
    try:
        import uvicorn

        import telemetry
        from cache.api import create_app
        from cache.api.protocol import ProblemProtocol
        from cache.async_layer import AsyncCache
        from cache.metrics import get_metrics
        from telemetry.provider import instrument_fastapi
    except ImportError as error:
        raise CacheError(f"{error.name} is missing: pip install 'glasscache[api]'") from None
    configure_logging(as_json=settings.log_json)
    handle = telemetry.setup()
    if rehearsal is not None:
        rehearsal()
    cache = AsyncCache.from_settings(settings)
    app = create_app(cache, get_metrics(), token=settings.api_token.get_secret_value(), scrape=handle.scrape)
    instrument_fastapi(app)
    # no access log: a query may hold a key, and every request is a span without one
    try:
        uvicorn.run(
            app,
            host=host,
            port=port,
            http=ProblemProtocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=3,
        )
    finally:
        handle.shutdown()
    return 0
