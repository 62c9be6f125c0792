"""Names in Redis: the specification's key patterns, escaped parts, tags."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from cache.core.canonical import encode
from cache.errors import CacheKeyError

RESERVED_PREFIXES = frozenset({"gen", "seen", "lock", "fleet", "spent"})
"""First parts of names that are our own bookkeeping."""

BUILT_IN_PREFIXES = frozenset({"context", "embed", "tool", "prompt", "static"})
"""First parts of the built-in categories' keys: under such a namespace ``prompt:fleet`` would be a prompt's key too."""

LONGEST_PART = 200
"""Characters of an escaped part; longer ones are replaced by their digest."""

LAST_TURN = (1 << 63) - 1
"""Largest turn of a context: what Redis and every client can count to."""

LONGEST_TAG = 512
"""Characters of a tag."""

MOST_TAGS = 256
"""Tags of one key: an entry names them all, and each read compares them."""

_UNSAFE = re.compile(rb"[^A-Za-z0-9\-._]")
_SAFE = re.compile(rf"[A-Za-z0-9\-._]{{1,{LONGEST_PART}}}\Z")
_NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-._]{0,63}\Z")


def escape(part: str) -> str:
    """One part of a name, so that no part can reach into another or act as a glob.

    Percent-escapes all but letters, digits, ``-``, ``.`` and ``_``; a part that gets too long becomes ``~`` and
    64 hex characters (no escaped part begins so).

    Raises:
        CacheKeyError: empty, no text, or no valid Unicode.
    """
    if not isinstance(part, str):
        raise CacheKeyError(f"a part of a key must be text, not {type(part).__name__}")
    if not part:
        raise CacheKeyError("a part of a key must not be empty")
    if _SAFE.match(part):
        return part
    try:
        raw = part.encode()
    except UnicodeEncodeError:
        raise CacheKeyError("a part of a key is no valid Unicode") from None
    escaped = _UNSAFE.sub(lambda match: b"%%%02X" % match[0][0], raw).decode()
    return escaped if len(escaped) <= LONGEST_PART else "~" + hashlib.sha256(raw).hexdigest()


def within(namespace: str) -> str:
    """What names begin with in a namespace."""
    return f"{namespace}:" if namespace else ""


def short_digest(data: bytes) -> str:
    """The first 16 hex characters of the SHA-256 of ``data``."""
    return hashlib.sha256(data).hexdigest()[:16]


def context_suffix(key: Any) -> str:
    """``(task_id, turn)`` as ``{task_id}:{turn}``."""
    if not isinstance(key, tuple | list) or len(key) != 2:
        raise CacheKeyError("a context's key is (task_id, turn)")
    task_id, turn = key
    if isinstance(turn, bool) or not isinstance(turn, int) or not 0 <= turn <= LAST_TURN:
        raise CacheKeyError("a context's turn is an integer from 0 up, below 2**63")
    return f"{escape(task_id)}:{turn}"


def embedding_suffix(key: Any) -> str:
    """A text's digest, or that of (model, role, dimension, text)."""
    if isinstance(key, str):
        try:
            return short_digest(key.encode())
        except UnicodeEncodeError:
            raise CacheKeyError("an embedding's text is no valid Unicode") from None
    return short_digest(encode(key))


def tool_suffix(key: Any) -> str:
    """``(tool_name, params)``, with qualifiers as a third, as ``{tool_name}:{digest of the rest}``."""
    if not isinstance(key, tuple | list) or len(key) not in (2, 3):
        raise CacheKeyError("a tool's key is (tool_name, params) or (tool_name, params, qualifiers)")
    rest = key[1] if len(key) == 2 else tuple(key[1:])
    return f"{escape(key[0])}:{short_digest(encode(rest))}"


def prompt_suffix(key: Any) -> str:
    """The context's hash as it is, or the digest of any other value."""
    return escape(key) if isinstance(key, str) else short_digest(encode(key))


SHAPED = frozenset((context_suffix, tool_suffix))
"""Forms whose keys have a fixed shape: a list (from JSON, say) means the tuple."""


def digest_suffix(key: Any) -> str:
    """The digest of any value: the form of registered categories."""
    return short_digest(encode(key))


def context_tags(key: Any) -> tuple[str, ...]:
    """The task that a context belongs to."""
    return (f"task:{key[0]}",)


def tool_tags(key: Any) -> tuple[str, ...]:
    """The tool whose result it is."""
    return (f"tool:{key[0]}",)


def scope_name(namespace: str, scope: str) -> str:
    """The Redis key of a scope's generation; ``scope`` is ``category:{name}`` or ``tag:{tag}``."""
    kind, _, name = scope.partition(":")
    return f"{within(namespace)}gen:{kind}:{escape(name)}"


def seen_name(namespace: str, category: str, block: int) -> str:
    """The Redis key of a block of a category's table of what was seen; ``block`` is 0..127."""
    return f"{within(namespace)}seen:{category}:{block:02x}"


def lock_name(digest: bytes, namespace: str) -> str:
    """The Redis key of the fleet's lock on a key, which ``digest`` names."""
    return f"{within(namespace)}lock:{digest.hex()[:32]}"


def fleet_name(namespace: str) -> str:
    """The Redis key of the hash in which processes put their figures; no pattern reaches it."""
    return f"{within(namespace)}fleet"


def spent_name(namespace: str) -> str:
    """The Redis key of the account of what a namespace has written; no pattern reaches it."""
    return f"{within(namespace)}spent"


def check_namespace(namespace: str) -> str:
    """The namespace itself when it is 1 to 64 letters, digits, ``-``, ``.`` or ``_``.

    Raises:
        CacheKeyError: it is not, or it is a word that is taken.
    """
    taken = RESERVED_PREFIXES | BUILT_IN_PREFIXES
    if not isinstance(namespace, str) or not _NAMESPACE.match(namespace) or namespace in taken:
        raise CacheKeyError(
            f"a namespace is 1 to 64 letters, digits, '-', '.' or '_', and none of {', '.join(sorted(taken))}"
        )
    return namespace


def tenant_namespace(namespace: str, tenant: str) -> str:
    """The namespace of one tenant within another, which may be empty: ``@`` begins no part of any other name.

    Raises:
        CacheKeyError: the tenant is no text, empty, or no valid Unicode.
    """
    return f"{within(namespace)}@{escape(tenant)}"


def check_text(text: Any) -> str:
    """The text itself.

    Raises:
        CacheKeyError: it is no text.
    """
    if not isinstance(text, str):
        raise CacheKeyError(f"expected text, not {type(text).__name__}")
    return text


def check_tag(tag: Any) -> str:
    """The tag itself when it is 1 to 512 characters of valid Unicode.

    Raises:
        CacheKeyError: it is not.
    """
    if not isinstance(tag, str) or not 1 <= len(tag) <= LONGEST_TAG:
        raise CacheKeyError(f"a tag is text of 1 to {LONGEST_TAG} characters")
    try:
        tag.encode()
    except UnicodeEncodeError:
        raise CacheKeyError("a tag is no valid Unicode") from None
    return tag


def check_tags(tags: Any) -> tuple[str, ...]:
    """The tags, each once, in their order; one text is one tag, None is none.

    Raises:
        CacheKeyError: one of them is no tag, or they are no collection.
    """
    if type(tags) is tuple and not tags:
        return ()
    if isinstance(tags, str):
        return (check_tag(tags),)
    try:
        found = tuple(tags or ())
    except TypeError:
        raise CacheKeyError(f"tags are a sequence of text, not {type(tags).__name__}") from None
    return tuple(dict.fromkeys(map(check_tag, found)))
