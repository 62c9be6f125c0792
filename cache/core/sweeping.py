"""Plain hits of a batch, known in one pass; what is none is left to ``verdicts``, which knows every case.

``quick.glance`` says the same of one key. Here no key costs a call that can be spared: each would be made for all.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from zlib import crc32

import orjson

from cache.core import codecs
from cache.core.engine import Engine
from cache.core.entry import COMPRESSED, ENTRY, HEAD_SIZE, PREFIX, SIGNED
from cache.core.generations import FENCE_OF_CATEGORY, TOKEN
from cache.core.known import Known
from cache.core.lookup import MISS
from cache.core.policies import Policy
from cache.core.quick import held_of, is_sound
from cache.core.shelves import Wanted
from cache.core.verdicts import Found
from cache.errors import CacheValueError
from telemetry.events import OperationEvent
from telemetry.vocabulary import Tier

_BEGINS = PREFIX + bytes([ENTRY])
_COUNTS = struct.Struct(">HHI")
"""The end of an entry's head: how many tags, how many files, the payload's length."""


@dataclass(slots=True)
class Swept:
    """What a look at many keys found.

    Args:
        values: of the plain hits, ``MISS`` in the places of the others.
        ages: of the plain hits' entries, seconds.
        cost_s: seconds that computing those took together.
        ttl_s: seconds that the last of them has left.
        tier: where they were found.
        found: the verdicts on the others, by their places.
    """

    values: list[Any]
    ages: list[float] = field(default_factory=list)
    cost_s: float = 0.0
    ttl_s: float | None = None
    tier: Tier = Tier.REDIS
    found: dict[int, Found] = field(default_factory=dict)

    def others(self) -> list[int]:
        """The places of what is no plain hit."""
        if len(self.ages) == len(self.values):
            return []
        return [place for place, value in enumerate(self.values) if value is MISS]

    def count(self, event: OperationEvent) -> None:
        """Count the plain hits."""
        if self.ages:
            event.served(self.tier, self.ages, self.cost_s)
            event.ttl_s = self.ttl_s


def sweep(
    engine: Engine, policy: Policy, wanted: Sequence[Wanted], raw: Sequence[Any], tokens: Mapping[str, Any]
) -> Swept:
    """Take out what of ``wanted`` is a plain hit.

    Args:
        raw: what stands under each key.
        tokens: the category's record and the tags' tokens as Redis holds them, by scope, the category first.
    """
    record = tokens[wanted[0].scopes[0]]
    if not is_sound(record, engine.identity()):
        return Swept([MISS] * len(wanted))
    only = wanted[0].labels[0] + record[:TOKEN]
    now, most, sealer = engine.clock.time(), policy.max_bytes, engine.sealer
    flag, holds, json, loads = sealer.flag, sealer.holds, codecs.JSON, orjson.loads
    values: list[Any] = []
    ages: list[float] = []
    costs, last = 0.0, now
    known: Known | None = None
    held, size, length = b"", 0, 0
    for want, data in zip(wanted, raw, strict=True):
        if want.known is not known:
            known, size = want.known, 0
            held = held_of(want, only, tokens)
        value: Any = MISS
        if data and held:
            if len(data) != size:
                # most entries of a batch are as long as their neighbours
                size = len(data)
                length = size - HEAD_SIZE - len(held) - sealer.size
                unpack = _layout(len(held), length, sealer.size).unpack if length >= 0 else _no_entry
                rest = _COUNTS.pack(len(want.asked) - 1, 0, max(0, length)) + held
            begins, codec, flags, bound, created, expires, cost_s, ends, payload, seal = unpack(data)
            if (
                bound == want.address.digest
                and ends == rest
                and expires > now
                and begins == _BEGINS
                and flags & SIGNED == flag
                and (holds(data) if flag else crc32(data[:-4]) == seal)
            ):
                try:
                    if codec == json and flags == flag and length <= most:
                        value = loads(payload)
                    else:
                        value = codecs.decode(codec, flags & COMPRESSED != 0, payload, max_bytes=most)
                    ages.append(now - created if now > created else 0.0)
                    costs += cost_s
                    last = expires
                except (ValueError, RecursionError, CacheValueError):
                    # the long way says why
                    value = MISS
        values.append(value)
    _remember(engine, record, tokens)
    return Swept(values, ages, costs, last - now)


@lru_cache(maxsize=1024)
def _layout(held: int, payload: int, seal: int) -> struct.Struct:
    """An entry without files, of which no own token is wanted; all lengths in bytes. A checksum is a number."""
    return struct.Struct(f">4s16xBB32sddf{_COUNTS.size + held}s{payload}s{'I' if seal == _CHECKSUM else f'{seal}s'}")


_CHECKSUM = 4


def _no_entry(_: bytes) -> tuple[Any, ...]:
    """What is shorter than any entry of those scopes."""
    return (None,) * 10


def _remember(engine: Engine, record: bytes, tokens: Mapping[str, Any]) -> None:
    """Tell the view what was seen; nothing to do where it knows."""
    view, fence = engine.view, record[:FENCE_OF_CATEGORY]
    scopes = iter(tokens)
    category = next(scopes)
    if view.token(category) != fence:
        view.saw([(category, fence)])
    for tag in scopes:
        token = tokens[tag]
        if view.token(tag) != token and type(token) is bytes and len(token) == TOKEN:
            view.saw([(tag, token)])
