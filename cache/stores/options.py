"""How a store is opened."""

from __future__ import annotations

from dataclasses import dataclass, field

from cache.core.breaker import BreakerOptions


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Limits of a store.

    Args:
        max_connections: how many calls can be under way at a time, 1..4096; per event loop for the async store, whose
            fast path has two connections for all of them and sends at once what would wait for one, 32 calls for each.
        ceiling_s: longest wait of any call, whatever its deadline, in seconds.
        decode: the public ``client`` answers with text (undecodable bytes as lone surrogates) instead of bytes.
        client_name: what ``CLIENT LIST`` shows.
        max_reply_bytes: a longer reply closes its connection.
        password_file: holds the password, read for each new connection; empty: the URL has it.
        sentinel_password_file: the same for sentinels.
        fast_path: commands go over connections of our own; False sends everything through redis-py's client.
        replica_prefixes: of the Redis keys that a cluster's replicas may be asked for.
        breaker: when the breaker opens.
    """

    max_connections: int = 64
    ceiling_s: float = 2.0
    decode: bool = True
    client_name: str = "glasscache"
    max_reply_bytes: int = 128 << 20
    password_file: str = ""
    sentinel_password_file: str = ""
    fast_path: bool = True
    replica_prefixes: tuple[str, ...] = ()
    breaker: BreakerOptions = field(default_factory=BreakerOptions)
