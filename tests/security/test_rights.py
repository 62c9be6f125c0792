"""Rights in the store: what is documented is enough and no more; one that is missing takes one feature away."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from cache import MISS, Cache, Policy, Settings
from cache.core.lookup import Lookup
from cache.doctor import RIGHTS, examine
from cache.fleet import report
from cache.testing import EmbeddedServer
from telemetry.vocabulary import BreakerState, Tier

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENT = {"read_deadline": 2, "write_deadline": 2}


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    """A server whose users this module makes."""
    with EmbeddedServer() as running:
        yield running


@pytest.fixture
def admin(server: EmbeddedServer) -> Iterator[redis.Redis]:
    """Its administrator, in an empty server."""
    with redis.Redis(unix_socket_path=server.socket) as client:
        client.flushall()
        client.acl_log_reset()
        yield client


Login = Callable[..., str]


@pytest.fixture
def login(server: EmbeddedServer, admin: redis.Redis) -> Login:
    """Makes the user anew, by rights; gives the URL to connect by."""

    def make(*rights: str, keys: str = "~*") -> str:
        admin.execute_command("ACL", "SETUSER", "narrow", "reset", "on", ">pw", "resetchannels", *keys.split(), *rights)
        return server.url.replace("unix://", "unix://narrow:pw@")

    return make


def everything(cache: Cache) -> None:
    """Every operation once, with the results that it has where all is well."""
    assert cache.get_or_compute("context", ("t", 1), lambda: "v", tags=["red"]) == "v"
    assert cache.get("context", ("t", 1), tags=["red"]) == "v"
    assert cache.set_many("prompt", {"a": 1, "b": 2}) == 2
    assert cache.get_many("prompt", ["a", "b", "c"]) == [1, 2, MISS]
    assert cache.delete("prompt", "a")
    assert cache.invalidate(tags=["red"]) == 1
    assert cache.invalidate(category="tool") == 1
    # a tombstone stays
    assert cache.invalidate(pattern="prompt:*") == 1
    assert cache.explain("prompt", "b").miss_reason is not None
    assert cache.get_or_compute("once", "k", lambda: "v") == "v"
    assert cache.health()["connected"]


FLEET = Policy(name="once", fleet=True)


def test_a_namespaces_user_needs_no_other_key(login: Login, admin: redis.Redis) -> None:
    """With ``~team:*`` all works, tenants and hashed names included; another namespace is refused by the server."""
    url = login(*RIGHTS.split(), keys="~team:*")
    for extra in ({}, {"hashed_keys": True}):
        with Cache.from_url(url, namespace="team", policies=[FLEET], **PATIENT, **extra) as cache:
            everything(cache)
            everything(cache.scoped("tenant"))
    assert admin.acl_log() == []
    with Cache.from_url(url, namespace="other", **PATIENT) as cache:
        assert cache.set("prompt", "k", 1) is False
        assert cache.get_or_compute("prompt", "k", lambda: "computed") == "computed"
    assert {line["reason"] for line in admin.acl_log()} == {"key"}


def test_without_a_namespace_the_documented_keys_are_enough(login: Login, admin: redis.Redis) -> None:
    """The page's list of prefixes, tenants and figures of the fleet included."""
    page = (ROOT / "docs" / "security.md").read_text()
    (keys,) = re.findall(r"^`(~context:[^`]*)`", page, re.MULTILINE)
    url = login(*RIGHTS.split(), keys=f"{keys} ~once:*")
    with Cache.from_url(url, policies=[FLEET], **PATIENT) as cache:
        everything(cache)
        everything(cache.scoped("tenant"))
    settings = Settings.of(redis_url=url)
    reports = report(settings)
    assert reports.summary()["scope"] == "fleet"
    reports.close()
    assert admin.acl_log() == []


def test_no_right_is_there_in_vain(login: Login) -> None:
    """Without any one of the documented rights the doctor finds something; with all of them nothing."""
    rights = RIGHTS.split()
    for right in rights:
        url = login(*(one for one in rights if one != right), keys="~*")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("REDIS_URL", url)
            found = [finding for finding in examine({}) if finding.what in ("rights", "INFO", "connection")]
        bad = [finding for finding in found if finding.level != "ok"]
        assert bad, right


def test_the_documented_user_is_the_one_that_is_tested() -> None:
    """The page, the doctor's cure and the stack's user name the same rights."""
    page = (ROOT / "docs" / "security.md").read_text()
    users = re.findall(r"^ACL SETUSER glasscache (.*)$", page, re.MULTILINE)
    assert users
    for user in users:
        assert set(RIGHTS.split()) <= set(user.split())
        assert {word for word in user.split() if word.startswith("+")} - set(RIGHTS.split()) <= {
            "+select",
            "+client|tracking",
        }
        assert {"reset", "on", "resetchannels"} <= set(user.split())
    stack = (ROOT / "dashboards" / "redis" / "users.acl").read_text()
    assert set(RIGHTS.split()) <= set(re.findall(r"\+\S+", stack))


MISSING: tuple[tuple[str, tuple[str, ...], dict[str, Any]], ...] = (
    ("SCAN", ("-scan",), {"pattern": 0}),
    ("UNLINK", ("-unlink",), {"pattern": 0}),
    ("EVAL", ("-eval", "-evalsha"), {"set": False, "delete": False, "tags": 0, "pattern": 0, "dry_run": 1}),
    ("SETRANGE", ("-setrange",), {"set": False}),
    ("MGET", ("-mget",), {"get": MISS, "set": False, "delete": False}),
    ("INFO", ("-info",), {}),
)
"""What the doctor names, the rights that are taken away, and what each operation then gives where it is another."""


@pytest.mark.parametrize(("named", "taken", "differs"), MISSING, ids=[row[0] for row in MISSING])
def test_a_missing_right_takes_one_feature_away(
    named: str, taken: tuple[str, ...], differs: dict[str, Any], login: Login, server: EmbeddedServer
) -> None:
    """No error to the caller, the breaker stays closed, the rest goes on; the doctor names the right."""
    with Cache.from_url(server.url, **PATIENT) as full:
        full.set("prompt", "k", "stored")
        full.set("tool", ("t", {}), "stored")
    url = login(*RIGHTS.split(), *taken)
    with Cache.from_url(url, **PATIENT) as cache:
        seen = cache.lookup("prompt", "k")
        assert isinstance(seen, Lookup)
        given = {
            "get": cache.get("prompt", "k"),
            "compute": cache.get_or_compute("static", "k", lambda: "computed"),
            "dry_run": cache.invalidate(pattern="tool:*", dry_run=True),
            "pattern": cache.invalidate(pattern="tool:t:*"),
            "set": cache.set("prompt", "other", 1),
            "delete": cache.delete("prompt", "other"),
            "tags": cache.invalidate(tags=["red"]),
        }
        expected = {"get": "stored", "compute": "computed", "dry_run": 1, "pattern": 1, "set": True, "delete": True}
        expected = expected | {"tags": 1} | differs
        if named == "SCAN":
            expected["dry_run"] = 0
        if named == "SETRANGE":
            # the script ends after the entry is there: whether it is deleted or absent is all the same
            del given["delete"], expected["delete"]
        assert given == expected
        assert cache._engine.breaker() is BreakerState.CLOSED
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REDIS_URL", url)
        bad = {finding.what: finding for finding in examine({}) if finding.level != "ok"}
    where = bad["INFO"] if named == "INFO" else bad["rights"]
    assert named in f"{where.what} {where.found}"
    assert where.cure


def test_without_the_right_to_track_nothing_is_kept_in_the_process(login: Login) -> None:
    """The local tier waits; Redis answers; the doctor names it."""
    url = login(*RIGHTS.split())
    with Cache.from_url(url, local_categories="static", **PATIENT) as cache:
        cache.set("static", "k", 1)
        for _ in range(3):
            assert cache.lookup("static", "k").tier is Tier.REDIS
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REDIS_URL", url)
        patch.setenv("CACHE_LOCAL_CATEGORIES", "static")
        (finding,) = [one for one in examine({}) if one.what == "local tier"]
    assert (finding.level, finding.found) == ("warn", "noperm")
    assert "+client|tracking" in finding.cure
