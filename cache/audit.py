"""The audit line: one for each act of an administrator, by the API or by the command; it shows no key and no name."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

from telemetry.logs import FIELDS

LOG = logging.getLogger("glasscache.audit")
"""Where the lines go."""


def did(who: str, action: str, about: str, **facts: Any) -> None:
    """Write an act down.

    Args:
        who: address of the other end, or the user of this machine.
        about: the category it concerned, or ``all``.
        facts: numbers and words without keys: how many, whether it was complete, a digest.
    """
    line = " ".join(f"{name}={value}" for name, value in facts.items())
    fields = {"audit": action, "category": about, "client": who, **facts}
    LOG.info("%s of %s by %s: %s", action, about, who, line, extra={FIELDS: fields})


def digest(text: str) -> str:
    """The first 16 hex characters of the SHA-256 of ``text``: tells two patterns apart without showing them."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def of_tenant(tenant: str | None) -> dict[str, str]:
    """The fact of whose cache it was; none where it was nobody's in particular."""
    return {} if tenant is None else {"tenant": digest(tenant)}
