"""The one seam where the driver's errors become ``StoreError``; no key, value or password passes it."""

from __future__ import annotations

import re

import redis.exceptions as driver

from cache.errors import StoreError
from telemetry.vocabulary import ErrorType

_BY_CODE = {
    "NOAUTH": ErrorType.AUTH,
    "WRONGPASS": ErrorType.AUTH,
    "NOPERM": ErrorType.NOPERM,
    "READONLY": ErrorType.READONLY,
    "OOM": ErrorType.OOM,
    "LOADING": ErrorType.LOADING,
    "BUSY": ErrorType.TIMEOUT,
    "UNKILLABLE": ErrorType.TIMEOUT,
    "MASTERDOWN": ErrorType.REFUSED,
    "CLUSTERDOWN": ErrorType.REFUSED,
    "TRYAGAIN": ErrorType.REFUSED,
    "MISCONF": ErrorType.READONLY,
    "NOREPLICAS": ErrorType.READONLY,
}
"""First word of an error reply. Source: Redis, "RESP protocol", simple errors."""

BY_CLASS = {
    "AskError": ErrorType.REFUSED,
    "AuthenticationError": ErrorType.AUTH,
    "AuthenticationWrongNumberOfArgsError": ErrorType.AUTH,
    "AuthorizationError": ErrorType.AUTH,
    "BusyLoadingError": ErrorType.LOADING,
    "ChildDeadlockedError": ErrorType.POOL_EXHAUSTED,
    "ClusterCrossSlotError": ErrorType.OTHER,
    "ClusterDownError": ErrorType.REFUSED,
    "ClusterError": ErrorType.REFUSED,
    "ConnectionError": ErrorType.REFUSED,
    "CrossSlotTransactionError": ErrorType.OTHER,
    "DataError": ErrorType.OTHER,
    "ExecAbortError": ErrorType.OTHER,
    "ExternalAuthProviderError": ErrorType.AUTH,
    "IncorrectPolicyType": ErrorType.OTHER,
    "InvalidPipelineStack": ErrorType.PROTOCOL,
    "InvalidResponse": ErrorType.PROTOCOL,
    "LockError": ErrorType.OTHER,
    "LockNotOwnedError": ErrorType.OTHER,
    "MasterDownError": ErrorType.REFUSED,
    "MaxConnectionsError": ErrorType.POOL_EXHAUSTED,
    "ModuleError": ErrorType.OTHER,
    "MovedError": ErrorType.REFUSED,
    "NoPermissionError": ErrorType.NOPERM,
    "NoScriptError": ErrorType.OTHER,
    "NoSuchFieldsetError": ErrorType.OTHER,
    "OutOfMemoryError": ErrorType.OOM,
    "PubSubError": ErrorType.OTHER,
    "ReadOnlyError": ErrorType.READONLY,
    "RedisClusterException": ErrorType.REFUSED,
    "RedisError": ErrorType.OTHER,
    "ResponseError": ErrorType.OTHER,
    "SlotNotCoveredError": ErrorType.REFUSED,
    "TimeoutError": ErrorType.TIMEOUT,
    "TryAgainError": ErrorType.REFUSED,
    "WatchError": ErrorType.OTHER,
}
"""Every class of ``redis.exceptions`` by name, so that a new one is noticed by a test, not by a user."""

_CODE = re.compile(r"([A-Z]{2,20})\b")
_NO_MEMORY = "OOM command not allowed"
_NO_PERMISSION = re.compile(r"NOPERM|ACL failure|has no permissions")


def store_error(error: BaseException, *, sent_nothing: bool = False, silent: bool = False) -> StoreError:
    """What an error of the driver or the system means.

    Args:
        sent_nothing: no byte can have reached the server.
        silent: the whole deadline passed without a byte from it; counts for time-outs only.
    """
    if isinstance(error, StoreError):
        return error
    kind = _kind(error)
    return StoreError(kind, _detail(error), sent_nothing=sent_nothing, silent=silent and kind is ErrorType.TIMEOUT)


def _kind(error: BaseException) -> ErrorType:
    if isinstance(error, driver.ResponseError):
        named = _by_text(str(error))
        if named is not None:
            return named
    for cls in type(error).__mro__:
        if cls.__module__ == driver.__name__ and cls.__name__ in BY_CLASS:
            return BY_CLASS[cls.__name__]
    if isinstance(error, TimeoutError):
        return ErrorType.TIMEOUT
    if isinstance(error, OSError):
        return ErrorType.REFUSED
    return ErrorType.PROTOCOL if isinstance(error, MemoryError | RecursionError) else ErrorType.OTHER


def _by_text(text: str) -> ErrorType | None:
    """Errors inside of a script, and those whose class the driver does not know."""
    found = _CODE.match(text)
    if found and found[1] in _BY_CODE:
        return _BY_CODE[found[1]]
    if _NO_MEMORY in text:
        return ErrorType.OOM
    return ErrorType.NOPERM if _NO_PERMISSION.search(text) else None


def _detail(error: BaseException) -> str:
    name = type(error).__name__
    found = _CODE.match(str(error)) if isinstance(error, driver.ResponseError) else None
    return f"{name} {found[1]}" if found else name
