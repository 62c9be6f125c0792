"""A plain hit, judged in one go; what is none is left to ``verdicts``, which knows every case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cache.core import codecs
from cache.core.engine import Engine
from cache.core.entry import open_plain
from cache.core.generations import CATEGORY_RECORD, FENCE_OF_CATEGORY, TOKEN, Fence, made_by
from cache.core.policies import Policy
from cache.core.shelves import Wanted
from cache.core.verdicts import Found
from cache.errors import CacheValueError


def plain_hit(
    engine: Engine, policy: Policy, want: Wanted, raw: Any, tokens: Sequence[Any], now: float
) -> Found | None:
    """The verdict where all is as it mostly is: a fresh entry, made from no files, under just the scopes wanted.

    Args:
        raw: what stands under the key.
        tokens: the category's record, then the tokens of the tags in the order of the scopes wanted.
        now: seconds since the epoch.

    Returns:
        The hit; None for everything else, hits of rarer kinds among it.
    """
    record = tokens[0]
    if type(raw) is not bytes or type(record) is not bytes or len(record) != CATEGORY_RECORD:
        return None
    if not made_by(record, engine.identity()):
        return None
    category = want.scopes[0]
    made: tuple[tuple[str, bytes], ...] = ((category, record[:TOKEN]),)
    seen: tuple[tuple[str, bytes], ...] = ((category, record[:FENCE_OF_CATEGORY]),)
    if len(tokens) > 1:
        tags = tuple(zip(want.scopes[1:], tokens[1:], strict=True))
        if any(type(token) is not bytes or len(token) != TOKEN for _, token in tags):
            return None
        made, seen = made + tags, seen + tags
    item = open_plain(raw, want.address.digest, engine.sealer, made, want.labels)
    if item is None or item.expires <= now:
        return None
    try:
        value = codecs.decode(item.codec, item.compressed, item.payload, max_bytes=policy.max_bytes)
    except CacheValueError:
        return None
    engine.view.saw(seen)
    return Found(want, Fence(seen, item.own), None, value, item, len(raw))
