"""Every error that glasscache raises by name.

CacheError
├── CacheKeyError         a key, tag or namespace that cannot be encoded
├── CacheValueError       a value that would not come back as it was
│   └── ValueTooLargeError
├── TTLError              a time to live out of range
├── PatternError          an invalidation pattern that is refused
├── UnknownCategoryError  a category nobody registered
├── CategoryError         a category that cannot be registered
├── SettingsError         a wrong setting; its text names the variable
├── EmbeddedServerError   the embedded server cannot start
├── ModelUnavailableError an embedding model cannot be loaded or reached
├── ListenError           a port cannot be listened on
├── WorkerError           a worker process cannot start
├── SnapshotError         figures that cannot be read or compared
└── StoreError            the store's trouble; never leaves the fail-safe calls
"""

from __future__ import annotations

from telemetry.vocabulary import ErrorType


class CacheError(Exception):
    """Base of all named errors."""


class CacheKeyError(CacheError, ValueError):
    """A key, a part of one, a tag or a namespace cannot be encoded."""


class CacheValueError(CacheError, ValueError):
    """A value cannot be stored so that it comes back equal and of the same type."""


class ValueTooLargeError(CacheValueError):
    """A value's encoding is larger than its category's cap."""


class TTLError(CacheError, ValueError):
    """A time to live is zero, negative, NaN, a bool, no number, or beyond ten years."""


class PatternError(CacheError, ValueError):
    """An invalidation pattern is unbounded, too long, or belongs to no category."""


class UnknownCategoryError(CacheError, LookupError):
    """No policy is registered under this category's name."""


class CategoryError(CacheError, ValueError):
    """A category cannot be registered: name, prefix or number."""


class SettingsError(CacheError, ValueError):
    """A setting is wrong; the text names the variable, the fault and an example."""


class TraceError(CacheError, ValueError):
    """A trace of requests is not of its format; the text names the line and what is wrong."""


class EmbeddedServerError(CacheError, RuntimeError):
    """The embedded server is not installed or did not start."""


class ModelUnavailableError(CacheError, RuntimeError):
    """An embedding model is not installed, or its endpoint does not answer."""


class ListenError(CacheError, OSError):
    """A port is taken, or the host is none of this machine's."""


class WorkerError(CacheError, RuntimeError):
    """A worker process ended before it was ready; the text is its own reason where it gave one."""


class SnapshotError(CacheError, ValueError):
    """A document is no snapshot of the metrics, two of them cannot be compared, or one is not kept any more."""


class StoreError(CacheError):
    """The store could not do what it was asked.

    Args:
        kind: the closed word that telemetry counts it under.
        detail: a short text without keys, values or passwords.
        sent_nothing: True when no byte can have reached the server.
        silent: True when the whole deadline passed without a byte from it.
    """

    def __init__(self, kind: ErrorType, detail: str = "", *, sent_nothing: bool = False, silent: bool = False) -> None:
        super().__init__(f"{kind.value}: {detail}" if detail else kind.value)
        self.kind = kind
        self.sent_nothing = sent_nothing
        self.silent = silent
