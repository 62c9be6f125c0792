"""The tables of scenarios once more, with every category kept in the process too: nothing else changes."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import pytest
from clients import test_policies_at_work, test_scenarios, test_scenarios_of_invalidation
from support.faces import Scenario, Stage, play
from support.local import LOCAL, settled

from cache.testing.clock import ManualClock
from telemetry.vocabulary import Tier

OF_REDIS = {"a_lookup_tells_all", "explain_counts_nothing"}
"""What says itself that the tier is redis: ``test_local_tier`` has them for this one."""

TABLE = [
    each
    for each in (*test_scenarios.SCENARIOS, *test_scenarios_of_invalidation.SCENARIOS)
    if each.__name__ not in OF_REDIS
]


class Settling:
    """A cache before whose every call all pushes have come: what a scenario did elsewhere is known here."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._cache, name)
        if not inspect.iscoroutinefunction(found):
            return found

        @functools.wraps(found)
        async def call(*args: Any, **kwargs: Any) -> Any:
            settled(self._cache)
            return await found(*args, **kwargs)

        return call


class LocalStage(Stage):
    """A stage with the tier on for everything."""

    def __init__(self, kind: str, url: str, policies: Any = (), **settings: Any) -> None:
        super().__init__(kind, url, policies, **(LOCAL | settings))
        settled(self.cache)
        self.cache = Settling(self.cache)


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("each", TABLE, ids=lambda each: each.__name__)
def test_scenario(kind: str, each: Scenario, glasscache_url: str) -> None:
    """Every scenario holds for both twins, whatever is answered from the process."""
    stage = LocalStage(kind, glasscache_url)

    play(each, stage)

    assert stage.telemetry.value("cache.telemetry.dropped") == 0


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("each", test_policies_at_work.SCENARIOS, ids=lambda each: each.__name__)
def test_policy(kind: str, each: Scenario, glasscache_url: str) -> None:
    """Every promise of a policy holds in front of Redis too."""
    names = ",".join((LOCAL["local_categories"], *(policy.name for policy in test_policies_at_work.POLICIES)))
    clock = ManualClock()
    stage = LocalStage(kind, glasscache_url, test_policies_at_work.POLICIES, clock=clock, local_categories=names)
    assert stage.engine.policies["prompt"].tier is Tier.LOCAL

    play(each, stage)
