"""What every process of ours that runs for long has around its work: logs, telemetry, a metrics port of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Thread

from cache.errors import ListenError
from cache.metrics import get_metrics
from cache.settings import Settings
from telemetry.exposition import ExpositionError, exposed
from telemetry.logs import configure_logging
from telemetry.provider import Telemetry, setup
from telemetry.vocabulary import BUILT_IN_CATEGORIES

Address = tuple[str, int]
"""Host and port of the first process; the others follow, one port above the other."""


@contextmanager
def observed(
    settings: Settings, service_name: str, *, index: int = 0, metrics: Address | None = None
) -> Iterator[Telemetry]:
    """Logs and telemetry of this process, made here and not before a fork; what is left goes out at the end.

    Args:
        service_name: unless ``OTEL_SERVICE_NAME`` has another.
        index: of the worker; its metrics are at the address's port plus this.
        metrics: where ``GET /metrics`` is answered beside all else; None: nowhere.

    Raises:
        ListenError: the port is taken.
    """
    configure_logging(as_json=settings.log_json)
    handle = setup(service_name=service_name)
    _begin_at_zero(handle)
    try:
        with ExitStack() as held:
            if metrics is not None:
                host, base = metrics
                try:
                    held.enter_context(exposed(handle.scrape, host, base + index))
                except ExpositionError as error:
                    raise ListenError(str(error)) from None
            yield handle
    finally:
        handle.shutdown()


def _begin_at_zero(handle: Telemetry) -> None:
    """Export every series now, while it is 0: an increase is seen from the first export on, and not before it.

    Nobody waits for it, so that a Collector that does not answer delays no start.
    """
    recorder = get_metrics().recorder
    for name in BUILT_IN_CATEGORIES:
        recorder.register_category(name)
    Thread(target=handle.force_flush, name="glasscache-first-export", daemon=True).start()
