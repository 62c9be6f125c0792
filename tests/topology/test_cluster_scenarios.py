"""The tables of scenarios once more, over a cluster: nothing else changes."""

from __future__ import annotations

import pytest
from clients import test_policies_at_work, test_scenarios, test_scenarios_of_invalidation
from support.cluster import Cluster
from support.faces import Scenario, Stage, play

from cache.testing.clock import ManualClock

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
def test_policy(kind: str, each: Scenario, cluster: Cluster) -> None:
    """Every promise of a policy holds."""
    play(each, Stage(kind, cluster.url, test_policies_at_work.POLICIES, clock=ManualClock()))
