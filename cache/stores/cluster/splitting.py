"""One step of an operation as the commands that it is made of, each of one key, for they may live on several servers.

Generators: they yield parts that go out together, are sent their answers, and return the reply that a single
server would have given.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import redis

from cache.core.generations import CATEGORY_RECORD
from cache.core.scripts import CHANGE, COMMIT, DELETE, MAKE_GENERATIONS, SWEEP, SWEPT
from cache.core.steps import Arg, Batch, Call, RunScript, StoreStep
from cache.errors import StoreError
from cache.stores.cluster.committing import commit, with_identity
from cache.stores.cluster.figures import added_up
from cache.stores.cluster.sweeping import scan
from cache.stores.cluster.topology import Topology, slot_of
from cache.stores.cluster.words import Answer, Part, Spot
from cache.stores.errors import store_error
from telemetry.vocabulary import ErrorType

Plan = Generator[list[Part], list[Answer], Any]

_SUMMED = frozenset({"UNLINK", "DEL", "EXISTS"})
_KEYLESS = frozenset({"PING", "INFO", "TIME", "CLIENT", "CONFIG", "ACL"})
"""Commands of the layer without a key; any primary may answer, all of them to PING and INFO."""


def split(step: StoreStep, topology: Topology) -> Plan:
    """A step's parts.

    Raises:
        StoreError: it cannot be carried out in a cluster, or a part of it failed.
    """
    if isinstance(step, Call):
        return _call(step, topology)
    if isinstance(step, Batch):
        return _batch(step, topology)
    return _SCRIPTS.get(step.script.name, _one_slot)(step, topology)


def is_birth(step: StoreStep) -> bool:
    """Whether a category's record is to be made, for there is none, or one of other servers."""
    return (
        isinstance(step, RunScript)
        and step.script.name == MAKE_GENERATIONS.name
        and any(isinstance(proposal, bytes) and len(proposal) == CATEGORY_RECORD for proposal in step.args[2:])
    )


def values(answers: Sequence[Answer]) -> list[Any]:
    """What was answered.

    Raises:
        Exception: the first trouble.
    """
    for answer in answers:
        if isinstance(answer.value, Exception):
            raise answer.value
    return [answer.value for answer in answers]


def _call(step: Call, topology: Topology) -> Plan:
    name, args = str(step.args[0]), step.args
    if name == "MGET":
        replies = values((yield [Part(("MGET", key), key, replica=True) for key in args[1:]]))
        return [reply[0] if isinstance(reply, list) and len(reply) == 1 else None for reply in replies]
    if name in _SUMMED:
        return sum(values((yield [Part((name, key), key, again=step.idempotent) for key in args[1:]])))
    if name == "SCAN":
        return (yield from scan(args, topology))
    if name in _KEYLESS:
        return (yield from _everywhere(args, topology))
    return values((yield [Part(args, args[1], again=step.idempotent)]))[0]


def _everywhere(args: tuple[Arg, ...], topology: Topology) -> Plan:
    """Ask every primary; all must answer, and their figures are added up."""
    replies = values((yield [Part(args, at=Spot(place)) for place in topology.primaries]))
    return added_up(replies) if args[0] == "INFO" else replies[0]


def _batch(step: Batch, topology: Topology) -> Plan:
    """Each command by itself, all at once: one that fails spoils no other."""
    keyed = [args[0] not in _KEYLESS for args in step.commands]
    parts: list[Part] = []
    for args, has_key in zip(step.commands, keyed, strict=True):
        if has_key:
            parts.append(Part(args, args[1], again=step.idempotent))
        else:
            parts += [Part(args, at=Spot(place)) for place in topology.primaries]
    answers = iter((yield parts))
    replies: list[Any] = []
    for args, has_key in zip(step.commands, keyed, strict=True):
        some = [next(answers) for _ in ([0] if has_key else topology.primaries)]
        try:
            found = values(some)
            replies.append(added_up(found) if args[0] == "INFO" else found[0])
        except (redis.RedisError, StoreError) as trouble:
            replies.append(store_error(trouble))
    return replies


def _one_slot(step: RunScript, _topology: Topology) -> Plan:
    """Any other script: its keys are together, or it cannot be run."""
    if len({slot_of(key) for key in step.keys}) != 1:
        raise StoreError(ErrorType.OTHER, "a script over several slots", sent_nothing=True)
    return values((yield [_run(step, step.keys, step.args)]))[0]


def _run(step: RunScript, keys: Sequence[Arg], args: Sequence[Arg]) -> Part:
    return Part((len(keys), *keys, *args), keys[0], step.script, again=step.idempotent)


def _make_generations(step: RunScript, topology: Topology) -> Plan:
    """Each where it lives; whether an entry may have been evicted every primary is asked."""
    asked_by, lifetime, *proposals = step.args
    # who trusts restarts asks in nobody's name
    identity = topology.identity if asked_by else b""
    fresh = [with_identity(proposal, identity) for proposal in proposals]
    parts = [_run(step, [key], [identity, lifetime, proposal]) for key, proposal in zip(step.keys, fresh, strict=True)]
    stats = [Part(("INFO", "stats"), at=Spot(place)) for place in topology.primaries] if is_birth(step) else []
    answers = yield parts + stats
    made = values(answers[: len(parts)])
    evicted = {_evicted(answer.value) for answer in answers[len(parts) :]}
    return [*(reply[0] for reply in made), b"0" if evicted == {b"0"} else b"?"]


def _evicted(info: Any) -> bytes:
    text = info if isinstance(info, bytes) else b""
    for line in text.splitlines():
        if line.startswith(b"evicted_keys:"):
            return line[13:].strip()
    return b"?"


def _delete(step: RunScript, _topology: Topology) -> Plan:
    lifetime, *tombstones = step.args
    pairs = zip(step.keys, tombstones, strict=True)
    return sum(values((yield [_run(step, [key], [lifetime, tombstone]) for key, tombstone in pairs])))


def _change(step: RunScript, _topology: Topology) -> Plan:
    pairs = zip(step.keys, zip(step.args[::2], step.args[1::2], strict=True), strict=True)
    return sum(values((yield [_run(step, [key], change) for key, change in pairs])))


def _sweep(step: RunScript, _topology: Topology) -> Plan:
    replies = values((yield [_run(step, [key], ()) for key in step.keys]))
    return [sum(gone for gone, _ in replies), b"".join(digests for _, digests in replies)]


def _swept(step: RunScript, _topology: Topology) -> Plan:
    mark, *fingerprints = step.args
    pairs = zip(step.keys, fingerprints, strict=True)
    return sum(values((yield [_run(step, [key], [mark, some]) for key, some in pairs])))


def _commit(step: RunScript, topology: Topology) -> Plan:
    return commit(step, topology.identity)


_SCRIPTS: dict[str, Callable[[RunScript, Topology], Plan]] = {
    COMMIT.name: _commit,
    MAKE_GENERATIONS.name: _make_generations,
    DELETE.name: _delete,
    CHANGE.name: _change,
    SWEEP.name: _sweep,
    SWEPT.name: _swept,
}
