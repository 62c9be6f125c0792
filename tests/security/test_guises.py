"""The tables of scenarios once more: with hashed names, as a tenant, and as a user with the documented rights alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from clients import test_scenarios, test_scenarios_of_invalidation
from support.faces import Scenario, play
from support.guises import Guise

from cache.doctor import RIGHTS
from cache.testing import EmbeddedServer

TABLE = [*test_scenarios.SCENARIOS, *test_scenarios_of_invalidation.SCENARIOS]

NAMED_IN_REDIS = {"cold_is_never_a_guess", "foreign_bytes_are_repaired", "the_plain_client_sees_foreign_bytes"}
"""They look for a key in Redis by its readable name."""

READ_IN_PARTS = {
    "a_fence_refuses_what_was_overtaken",
    "a_pattern_leaves_other_entries_valid",
    "a_pattern_leaves_tombstones",
    "explain_counts_nothing",
}
"""They use a pattern of a part of a name, or read a tag out of an entry."""


def test_what_is_left_out_is_there() -> None:
    """No scenario is left out by a name that nobody has any more."""
    assert {each.__name__ for each in TABLE} > NAMED_IN_REDIS | READ_IN_PARTS


def others(*left_out: set[str]) -> list[Scenario]:
    """The scenarios but for those."""
    return [each for each in TABLE if each.__name__ not in set().union(*left_out)]


@pytest.mark.parametrize("each", others(NAMED_IN_REDIS, READ_IN_PARTS), ids=lambda each: each.__name__)
def test_hashed_names_change_nothing(each: Scenario, glasscache_url: str) -> None:
    """What can be read in Redis is all that differs; names are made before the twins part."""
    play(each, Guise("sync", glasscache_url, hashed_keys=True, key_secret="a secret"))


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("each", others(NAMED_IN_REDIS), ids=lambda each: each.__name__)
def test_a_tenants_cache_is_a_cache(kind: str, each: Scenario, glasscache_url: str) -> None:
    """A view of one tenant does whatever a cache does."""
    play(each, Guise(kind, glasscache_url, tenant="Müller & Söhne:*"))


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[EmbeddedServer, str]]:
    """A server and the URL of a user that may do what the security page says, and nothing else."""
    with EmbeddedServer() as server:
        with redis.Redis(unix_socket_path=server.socket) as admin:
            admin.execute_command(
                "ACL", "SETUSER", "narrow", "reset", "on", ">pw", "~*", "resetchannels", *RIGHTS.split()
            )
        yield server, server.url.replace("unix://", "unix://narrow:pw@")


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("each", TABLE, ids=lambda each: each.__name__)
def test_the_documented_rights_are_enough(kind: str, each: Scenario, guarded: tuple[EmbeddedServer, str]) -> None:
    """Every scenario plays, and the server refuses nothing."""
    server, login = guarded
    with redis.Redis(unix_socket_path=server.socket) as admin:
        admin.flushall()
        admin.acl_log_reset()
        play(each, Guise(kind, server.url, login=login))
        assert admin.acl_log() == []
