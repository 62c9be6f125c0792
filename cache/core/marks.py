"""Marks: the last byte of a token says what made it, so that whoever finds an entry invalid can say by what.

The other fifteen bytes are random: 120 bits never meet twice. A token of a release without marks
is taken for what its scope is; one such token in 256 is misread, and nothing but a label is wrong then.
"""

from __future__ import annotations

from telemetry.vocabulary import MissReason, MissTrigger

Cause = tuple[MissReason, MissTrigger | None]
"""Why a lookup missed and, where something was made invalid, by what."""

PLACE = 15
"""Of the mark in a token: its last byte."""

MADE = 1
"""Nothing was invalidated: the generation was absent when somebody needed it. It outlives its entries, so that it can
only have been lost: what was made under the one before is counted as evicted."""

CODES: dict[int, MissTrigger] = {
    2: MissTrigger.KEY,
    3: MissTrigger.TAG,
    4: MissTrigger.CATEGORY,
    5: MissTrigger.PATTERN,
    6: MissTrigger.RESTART,
}
"""The byte of each trigger; never changed, for other processes read them."""

_BYTES = {trigger: code for code, trigger in CODES.items()}


def code_of(trigger: MissTrigger | None) -> int:
    """The byte of a trigger; that of what was merely made for None."""
    return MADE if trigger is None else _BYTES[trigger]


def marked(token: bytes, trigger: MissTrigger | None = None) -> bytes:
    """The same token with its mark.

    Args:
        token: a category's goes on with its write fence.
        trigger: what made it; None: nothing but that it was absent.
    """
    return b"%b%c%b" % (token[:PLACE], code_of(trigger), token[PLACE + 1 :])


def trigger_of(scope: str) -> MissTrigger:
    """What an invalidation of a scope by its own name is called."""
    return MissTrigger.CATEGORY if scope.startswith("category:") else MissTrigger.TAG


def why_changed(scope: str, token: bytes | None) -> Cause:
    """Why what was made under another token of a scope is not valid any more.

    Args:
        token: the scope's token now; None when it has none.
    """
    code = MADE if token is None else token[PLACE]
    if code == MADE:
        return MissReason.EVICTED, None
    return MissReason.INVALIDATED, CODES.get(code) or trigger_of(scope)
