"""A cluster that the tests of this folder share, awake and empty, and one that a test may spoil."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.cluster import Cluster


@pytest.fixture(scope="session")
def session_cluster() -> Iterator[Cluster]:
    with Cluster() as made:
        yield made


@pytest.fixture
def cluster(session_cluster: Cluster) -> Cluster:
    """Three primaries and three replicas, empty."""
    session_cluster.flush()
    return session_cluster
