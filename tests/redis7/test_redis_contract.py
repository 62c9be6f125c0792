"""What both drivers promise, and how they bear faults, over Redis: the tests of the stores, once more."""

from __future__ import annotations

import pytest
from stores.test_store_contract import *  # noqa: F403
from stores.test_store_faults import *  # noqa: F403
from support.debian_redis import version

pytestmark = pytest.mark.machine


def test_it_is_redis() -> None:
    """The program of Debian, not Valkey's; 7.0 or later."""
    assert version() >= (7, 0)
