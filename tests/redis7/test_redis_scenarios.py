"""The tables of scenarios over Redis: plainly, over its own TLS, and as a user with the documented rights alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from clients import test_policies_at_work, test_scenarios, test_scenarios_of_invalidation
from support import certificates
from support.debian_redis import DebianRedis
from support.faces import Scenario, Stage, play
from support.guises import Guise

from cache.doctor import RIGHTS
from cache.stores.embedded import _free_port
from cache.testing import ManualClock

pytestmark = pytest.mark.machine

TABLE = [*test_scenarios.SCENARIOS, *test_scenarios_of_invalidation.SCENARIOS]


@dataclass(frozen=True, slots=True)
class Ways:
    """How one server is reached."""

    server: DebianRedis
    narrow: str
    tls: str

    def emptied(self) -> str:
        """The plain URL, of an empty server."""
        with redis.Redis(unix_socket_path=self.server.socket) as admin:
            admin.flushall()
            admin.acl_log_reset()
        return self.server.url

    def refused(self) -> list[object]:
        """What the server refused its users since."""
        with redis.Redis(unix_socket_path=self.server.socket) as admin:
            return list(admin.acl_log())


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    """A server with TLS, and a user of few rights."""
    folder: Path = tmp_path_factory.mktemp("tls")
    files = {"key": certificates.KEY, "cert": certificates.GOOD, "ca-cert": certificates.AUTHORITY}
    options: list[str] = []
    for name, text in files.items():
        (folder / name).write_text(text)
        options += [f"--tls-{name}-file", str(folder / name)]
    port = _free_port()
    with DebianRedis(options=("--tls-port", str(port), *options, "--tls-auth-clients", "no")) as server:
        with redis.Redis(unix_socket_path=server.socket) as admin:
            admin.execute_command(
                "ACL", "SETUSER", "narrow", "reset", "on", ">pw", "~*", "resetchannels", *RIGHTS.split()
            )
        yield Ways(
            server,
            server.url.replace("unix://", "unix://narrow:pw@"),
            f"rediss://narrow:pw@localhost:{port}/0?ssl_ca_certs={folder / 'ca-cert'}",
        )


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("each", TABLE, ids=lambda each: each.__name__)
def test_scenario(kind: str, each: Scenario, ways: Ways) -> None:
    """Every scenario plays on Redis as it does on Valkey."""
    play(each, Stage(kind, ways.emptied()))


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("each", test_policies_at_work.SCENARIOS, ids=lambda each: each.__name__)
def test_policy(kind: str, each: Scenario, ways: Ways) -> None:
    """Every promise of a policy holds on Redis."""
    play(each, Stage(kind, ways.emptied(), test_policies_at_work.POLICIES, clock=ManualClock()))


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("each", TABLE, ids=lambda each: each.__name__)
def test_the_documented_rights_are_enough_over_tls(kind: str, each: Scenario, ways: Ways) -> None:
    """As a narrow user over TLS every scenario plays, and the server refuses nothing."""
    url = ways.emptied()

    play(each, Guise(kind, url, login=ways.tls))

    assert ways.refused() == []
