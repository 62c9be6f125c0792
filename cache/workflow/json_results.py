"""Tool results in a plain client's JSON: what they were made from stands beside them and is checked at each hit."""

from __future__ import annotations

import time
from typing import Any

from cache.core.fingerprint import MAX_FILES, Fingerprint
from cache.core.lookup import Computed
from cache.errors import CacheError
from cache.key_generator import generate_tool_key
from cache.stores.files import settled, unchanged
from cache.workflow.adapters import read_json, read_json_async, write_json, write_json_async
from cache.workflow.tool_call import ToolCall

FILES, SCOPE = "_files", "_scope"
"""Where the JSON keeps the fingerprints, and the tool's version with the sandbox's root."""


def key_of(call: ToolCall) -> str | None:
    """The specification's key; None for parameters that have none."""
    try:
        return generate_tool_key(call.name, dict(call.payload))
    except CacheError:
        return None


def unpack(found: Any, call: ToolCall) -> dict[str, Any] | None:
    """The result in a client's JSON; None when it is none, another scope's, or one of its files changed.

    JSON without fingerprints and scope was written by another program: it serves for tools that name no file.
    """
    if not isinstance(found, dict):
        return None
    value = {name: item for name, item in found.items() if name not in (FILES, SCOPE)}
    if SCOPE not in found and FILES not in found:
        return None if call.paths() else value
    try:
        files = [Fingerprint(*file) for file in found.get(FILES, ())]
        return value if found.get(SCOPE) == call.scope and unchanged(files) else None
    except TypeError:
        return None


def pack(computed: Computed, call: ToolCall, began_ns: int) -> dict[str, Any] | None:
    """The JSON to store; None for what must not be kept.

    Args:
        began_ns: when the tool began, nanoseconds since the epoch.
    """
    reserved = computed.value.keys() & {FILES, SCOPE}
    if not computed.store or reserved or len(computed.files) > MAX_FILES or not settled(computed.files, began_ns):
        return None
    return {**computed.value, FILES: [list(file) for file in computed.files], SCOPE: call.scope}


def through_json(call: ToolCall, client: Any) -> dict[str, Any]:
    """The call's result from a client with ``get_json`` and ``set_json``, or from the tool."""
    key = key_of(call)
    if key is None:
        return _value(call.compute())
    value = unpack(read_json(client, key), call)
    if value is not None:
        return value
    began_ns = time.time_ns()
    computed = call.compute()
    packed = pack(computed, call, began_ns)
    if packed is not None:
        write_json(client, key, packed, **_ttl(computed))
    return _value(computed)


async def through_json_async(call: ToolCall, client: Any) -> dict[str, Any]:
    """The twin of ``through_json``."""
    key = key_of(call)
    if key is None:
        return _value(await call.compute_async())
    value = unpack(await read_json_async(client, key), call)
    if value is not None:
        return value
    began_ns = time.time_ns()
    computed = await call.compute_async()
    packed = pack(computed, call, began_ns)
    if packed is not None:
        await write_json_async(client, key, packed, **_ttl(computed))
    return _value(computed)


def _value(computed: Computed) -> dict[str, Any]:
    return computed.value  # type: ignore[no-any-return]


def _ttl(computed: Computed) -> dict[str, float]:
    return {} if computed.ttl is None else {"ttl": computed.ttl}
