"""How the network of a proxy is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Weather:
    """How the network is.

    Args:
        delay_s: before each burst of replies.
        cut_after: bytes of each connection's replies until it is reset; None: never.
        deaf: requests are taken and lost.
        mute: replies are held back until the weather changes.
        impostor: answers every request instead of the server.
        drip_s: replies come byte by byte, so many seconds apart.
        jitter_s: up to so much is added to each delay, at random.
        slice_to: replies come in pieces of so many bytes; None: as they come.
        twice: every burst of replies is sent twice.
    """

    delay_s: float = 0.0
    cut_after: int | None = None
    deaf: bool = False
    mute: bool = False
    impostor: bytes | None = None
    drip_s: float = 0.0
    jitter_s: float = 0.0
    slice_to: int | None = None
    twice: bool = False
