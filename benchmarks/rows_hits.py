"""Latency of a hit, of batches, writes and misses: paced, in each state, beside the peers.

Each round asks every contender for one slice; the ratio is that of the slices' medians to the base's in the same
round. A slice of a contender in which the exporter was at work counts like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.cases import HITS, case
from benchmarks.contenders import BASE, BATCH, Contender, ours
from benchmarks.crew import Bench, Hand, Replies, WorkerError
from benchmarks.method import estimate, paired
from benchmarks.peers import HAND, NAMES, PEERS, version
from benchmarks.report import Row, row, single, void
from benchmarks.states import STATES

RATE = 500.0
"""Hits a second."""

SLICE = 75
"""Calls of one slice; 30 rounds of them make 4,500 spans, and nine exports of the SDK's batch."""

WORDS = {
    "hit": ("hit", "bare redis-py, GET"),
    "async": ("async hit alone", "bare redis.asyncio, GET"),
    "many": (f"get_many of {BATCH}", f"bare redis-py, MGET of {BATCH}"),
    "set": ("set with tags and fence", "bare redis-py, SET EX"),
    "miss": ("get_or_compute, a miss", "bare redis-py, GET and SET EX"),
}
"""By job: what it is, and what its base does."""

OWN_SPANS = {"miss": 2}
"""Spans of the cache's own for each call, where it is not one: a miss has one of the computation too."""

MISSED = 0.005
"""Share of calls that may give nothing: a deadline that passed while the machine was elsewhere."""

Team = list[tuple[Contender, str]]

BARE = (BASE, "bare")


def hits(bench: Bench) -> Iterator[Row]:
    """A hit of every value, by socket and by TCP; the peers by socket, the plain path with the first value."""
    for name in ("json200", "embedding") if bench.quick else HITS:
        first = name == "json200"
        peers = _peers(name) if first or not bench.quick else []
        yield from measured(bench, "hit", name, "unix", [*team(STATES, plain=first), *peers])
    for name in ("json200",) if bench.quick else HITS:
        yield from measured(bench, "hit", name, "tcp", team(STATES[:1] if bench.quick else STATES))


def absentees(bench: Bench) -> Iterator[Row]:
    """The peers that could not be installed, so that nobody looks for them in vain."""
    for peer in PEERS:
        if not version(peer.name):
            yield void(f"hit/absent/{peer.name}", peer.title, f"{NAMES[peer.name]} is not installed here")


def awaited(bench: Bench) -> Iterator[Row]:
    """A hit alone on an event loop, against redis.asyncio."""
    yield from measured(bench, "async", "json200", "unix", _calls(bench))


def many(bench: Bench) -> Iterator[Row]:
    """A batch of 50 against MGET of 50."""
    yield from measured(bench, "many", "json200", "unix", _calls(bench), rate=RATE / 5)


def writes(bench: Bench) -> Iterator[Row]:
    """A write with tags and fence against SET EX."""
    yield from measured(bench, "set", "json200", "unix", _calls(bench), rate=RATE / 2)


def misses(bench: Bench) -> Iterator[Row]:
    """A miss that computes and stores against GET and SET."""
    yield from measured(bench, "miss", "json200", "unix", _calls(bench), rate=RATE / 5)


def stored(bench: Bench) -> Iterator[Row]:
    """What an embedding takes in the store."""
    from cache import Cache

    value = case("embedding")
    with Cache.from_url(bench.server.url) as cache:
        cache.set("embedding", value.text, value.value)
        client = bench.server.client()
        (name,) = list(client.scan_iter("embed:*", count=1000))
        size = len(client.get(name) or b"")
    yield single("stored/embedding", "384-float embedding, stored", size / 1024, "KiB", bytes=size)


def team(states: Sequence[str], plain: bool = False) -> Team:
    """The cache in some states; ``plain`` puts the plain redis-py path in the first of them beside it."""
    cache, *others = ours()
    return [*((cache, state) for state in states), *((other, states[0]) for other in others if plain)]


def _calls(bench: Bench) -> Team:
    return team(STATES[:1] if bench.quick else STATES[:2], plain=not bench.quick)


def _peers(name: str) -> Team:
    return [(who, "sampled") for who in (HAND, *PEERS) if name in who.cases and (who is HAND or version(who.name))]


def measured(bench: Bench, job: str, name: str, transport: str, who: Team, rate: float = RATE) -> Iterator[Row]:
    """Rows of one job with one value, and the base's own."""
    value, url = case(name), bench.server.at(transport)
    hands, titles = open_jobs(bench, job, name, url, [BARE, *who])
    failed = [found for found in hands if isinstance(found, Row)]
    working = [found for found in hands if isinstance(found, Hand)]
    calls = max(5, round(SLICE * rate / RATE)) if not bench.quick else max(5, round(SLICE * rate / RATE / 2))
    for hand in working:
        hand.account()
    replies = bench.interleaved(working, bench.rounds(30, 10), "paced", n=calls, rate=rate)
    base = [reply["p50"] for reply in replies[working[0].service]]
    what, bare = WORDS[job]
    title = f"{what}, {value.title}, {transport}"
    yield row(f"{job}/{name}/{transport}/base", f"{title}: {bare}", estimate(base), "µs")
    for hand in working[1:]:
        took = [reply["p50"] for reply in replies[hand.service]]
        reason, spans = audited(hand, replies, OWN_SPANS.get(job, 1))
        yield row(
            f"{job}/{name}/{transport}/{hand.name}/{hand.state}",
            f"{title}: {titles[hand.name]}, {hand.state}",
            paired(base, took),
            void=reason,
            us=estimate(took).value,
            p99_us=estimate([reply["p99"] for reply in replies[hand.service]]).value,
            spans_per_call=spans,
        )
    yield from failed


def open_jobs(bench: Bench, job: str, name: str, url: str, who: Team) -> tuple[list[Hand | Row], dict[str, str]]:
    """The workers with their jobs open, or a void row for each that cannot."""
    wanted = [(each.name, state, dict(each.environ)) for each, state in who]
    found: list[Hand | Row] = []
    for hand, (each, state) in zip(bench.crew(wanted), who, strict=True):
        try:
            hand.ask("open", job=job, name=name, url=url)
            found.append(hand)
        except WorkerError as error:
            found.append(void(f"{job}/{name}/{each.name}/{state}", each.title, str(error)))
    return found, {each.name: each.title for each, _ in who}


def audited(hand: Hand, replies: Replies, own: int = 1) -> tuple[str, float]:
    """Why a row does not count, if it does not; and how many spans reached the sink for each call.

    Args:
        own: spans of the cache's own that each call ought to have.
    """
    account = hand.account()
    calls, spans = account["calls"], sum(account["spans"].values())
    wrong = sum(reply["wrong"] for reply in replies[hand.service])
    if wrong > calls * MISSED:
        return f"{wrong} of {calls} calls gave nothing", spans / calls
    if not account["flushed"] or account["dropped"]:
        return f"{account['dropped']} spans or events were dropped", spans / calls
    return _uneven(hand, account["spans"], calls, own), round(spans / calls, 3)


def _uneven(hand: Hand, spans: dict[str, int], calls: int, wanted: int) -> str:
    """Of ours each call has just the spans of its own and at least one of Redis; nobody has a span of half a call."""
    if hand.state != "sampled":
        return f"{spans} spans, though none was sampled" if spans else ""
    if hand.name.startswith("glasscache"):
        own = spans.get("glasscache", 0)
        redis = sum(spans.values()) - own
        whole = own == calls * wanted and calls <= redis
        return "" if whole else f"{calls} calls, but {own} spans of the cache and {redis} of Redis"
    return "" if sum(spans.values()) >= calls else f"{calls} calls, but {sum(spans.values())} spans"
