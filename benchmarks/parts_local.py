"""What the local tier itself costs: ``python benchmarks/parts_local.py [ENTRIES]``, no server, one table.

Times are the best of many short runs, in microseconds; bytes are what the process grew by, beside the payloads.
"""

from __future__ import annotations

import gc
import hashlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cache.core import nearby
from cache.core.entry import Entry, Sealer, parse
from cache.core.held import Held
from cache.core.local import LocalTier
from cache.core.policies import Policy
from telemetry.local import LocalAccounts

TOKEN = b"t" * 16
SCOPES = (("category:prompt", TOKEN),)
PAYLOAD = b'{"n":12345}'
ASKED = 500
ROUNDS = 400


def resident() -> int:
    """Bytes that this process has in memory (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def opened(max_bytes: int) -> LocalTier:
    """A tier that nobody pushes to, under a lease that does not end."""
    tier = LocalTier(
        max_bytes,
        scope_name=str,
        token_of=lambda _, raw: raw,
        monotonic=time.perf_counter,
        accounts=LocalAccounts(),
    )
    tier.told()
    tier.extend(float("inf"))
    return tier


def fill(tier: LocalTier, entries: int) -> None:
    """Keep so many small entries."""
    sealer, ticket, now = Sealer(), tier.ticket(), time.time()
    for n in range(entries):
        name, digest = key(n)
        raw = Entry(digest, 1, False, PAYLOAD, now, now + 3600, 0.1, SCOPES).pack(sealer)
        tier.keep(name, raw, parse(raw, digest, SCOPES[0][0], sealer), {}, ticket)
    tier.learn(dict(SCOPES), ticket)


def key(n: int) -> tuple[str, bytes]:
    """Redis key and digest of the n-th entry."""
    digest = hashlib.sha256(n.to_bytes(8, "big")).digest()
    return f"prompt:{digest[:8].hex()}", digest


def best(call: Callable[[str, bytes], object], keys: list[tuple[str, bytes]]) -> float:
    """Microseconds of one call, the best of many rounds over the keys."""
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for name, digest in keys:
            call(name, digest)
        took.append(time.perf_counter() - began)
    return min(took) / len(keys) * 1e6


def main(entries: int) -> None:
    """Fill a tier, then find in it."""
    gc.collect()
    before = resident()
    tier = opened(2048 * entries + (1 << 20))
    began = time.perf_counter()
    fill(tier, entries)
    filled = (time.perf_counter() - began) / entries * 1e6
    gc.collect()
    taken, counted = resident() - before, tier.used
    step = max(1, entries // ASKED)
    keys, now, policy = [key(n) for n in range(0, entries, step)], time.time(), Policy(name="prompt")

    def found(name: str, digest: bytes) -> Held:
        held = tier.find(name, digest, now)
        assert held is not None
        return held

    rows = (
        ("entries", f"{tier.entries:,}"),
        ("overhead by the process", f"{taken / entries - len(PAYLOAD):.0f} B an entry"),
        ("overhead as counted", f"{counted / entries - len(PAYLOAD):.0f} B an entry"),
        ("kept, packing and parsing included", f"{filled:.1f} µs"),
        ("nothing", f"{best(lambda *_: None, keys):.2f} µs"),
        ("find", f"{best(lambda name, digest: tier.find(name, digest, now), keys):.2f} µs"),
        ("find and decode", f"{best(lambda name, digest: nearby.value_of(policy, found(name, digest)), keys):.2f} µs"),
    )
    for name, figure in rows:
        print(f"{name:40}{figure:>20}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
