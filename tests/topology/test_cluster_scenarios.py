"""The tables of scenarios once more, over a cluster: nothing else changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from clients import test_policies_at_work, test_scenarios, test_scenarios_of_invalidation
from support.cluster import Cluster
from support.faces import Scenario, Stage, play

from cache.testing.clock import ManualClock


async def patiently(true: Callable[[], bool]) -> None:
    """Wait for what happens in the background, and leave the loop to it: it takes several turns."""
    give_up = time.monotonic() + 20
    while not true():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.1)


TABLE = (*test_scenarios.SCENARIOS, *test_scenarios_of_invalidation.SCENARIOS)


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("each", TABLE, ids=lambda each: each.__name__)
def test_scenario(kind: str, each: Scenario, cluster: Cluster) -> None:
    """Every scenario holds for both twins."""
    stage = Stage(kind, cluster.url)

    play(each, stage)

    assert stage.telemetry.value("cache.telemetry.dropped") == 0


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("each", test_policies_at_work.SCENARIOS, ids=lambda each: each.__name__)
def test_policy(kind: str, each: Scenario, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every promise of a policy holds."""
    monkeypatch.setattr(test_policies_at_work, "until", patiently)
    play(each, Stage(kind, cluster.url, test_policies_at_work.POLICIES, clock=ManualClock()))


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_tenants_budget(kind: str, cluster: Cluster) -> None:
    """Holds over all primaries together: its account is one key, asked where it lives."""

    async def flood(stage: Stage) -> None:
        stored = await stage.cache.set_many("prompt", [(f"k{n}", "x" * 1000) for n in range(200)])
        assert 20 < stored < 60
        assert stage.writes("over_budget") == 200 - stored
        assert await stage.cache.get("prompt", "k0") == "x" * 1000
        assert await stage.cache.delete("prompt", "k0")

    play(flood, Stage(kind, cluster.url, tenant_max_bytes=1 << 16))
