"""The one seam where the driver's errors become ``StoreError``; no key, value or password passes it."""

from __future__ import annotations

import redis.exceptions as driver

from cache.errors import StoreError
from telemetry.vocabulary import ErrorType

_BY_PREFIX = {
    "NOAUTH": ErrorType.AUTH,
    "WRONGPASS": ErrorType.AUTH,
    "NOPERM": ErrorType.NOPERM,
    "READONLY": ErrorType.READONLY,
    "OOM": ErrorType.OOM,
    "LOADING": ErrorType.LOADING,
    "BUSY": ErrorType.TIMEOUT,
    "MASTERDOWN": ErrorType.REFUSED,
    "CLUSTERDOWN": ErrorType.REFUSED,
    "TRYAGAIN": ErrorType.REFUSED,
    "MISCONF": ErrorType.READONLY,
    "NOREPLICAS": ErrorType.READONLY,
}
"""First word of an error reply; Source: Redis "Protocol specification", simple errors."""

_BY_CLASS: tuple[tuple[type[BaseException], ErrorType], ...] = (
    (driver.BusyLoadingError, ErrorType.LOADING),
    (driver.AuthenticationError, ErrorType.AUTH),
    (driver.AuthorizationError, ErrorType.AUTH),
    (driver.MaxConnectionsError, ErrorType.POOL_EXHAUSTED),
    (driver.TimeoutError, ErrorType.TIMEOUT),
    (driver.NoPermissionError, ErrorType.NOPERM),
    (driver.ReadOnlyError, ErrorType.READONLY),
    (driver.OutOfMemoryError, ErrorType.OOM),
    (driver.ClusterError, ErrorType.REFUSED),
    (driver.ClusterDownError, ErrorType.REFUSED),
    (driver.InvalidResponse, ErrorType.PROTOCOL),
    (driver.ConnectionError, ErrorType.REFUSED),
    (driver.ResponseError, ErrorType.OTHER),
    (driver.RedisError, ErrorType.OTHER),
    (TimeoutError, ErrorType.TIMEOUT),
    (OSError, ErrorType.REFUSED),
)
"""The first class that fits names the trouble; what is not listed by itself falls to its base."""


def store_error(error: BaseException, *, silent: bool = False) -> StoreError:
    """What a driver's error means.

    Args:
        silent: the whole deadline passed without a byte from the server.
    """
    if isinstance(error, StoreError):
        return error
    kind = _kind(error)
    return StoreError(kind, type(error).__name__, silent=silent and kind is ErrorType.TIMEOUT)


def _kind(error: BaseException) -> ErrorType:
    if isinstance(error, driver.ResponseError):
        text = str(error)
        named = _BY_PREFIX.get(text.partition(" ")[0])
        if named is not None:
            return named
        if "OOM command not allowed" in text:
            return ErrorType.OOM
        if "max number of clients" in text:
            return ErrorType.REFUSED
        if "NOPERM" in text or "no permissions" in text or "ACL failure" in text:
            return ErrorType.NOPERM
    if isinstance(error, driver.ConnectionError) and "max number of clients" in str(error):
        return ErrorType.REFUSED
    return next((kind for cls, kind in _BY_CLASS if isinstance(error, cls)), ErrorType.OTHER)
