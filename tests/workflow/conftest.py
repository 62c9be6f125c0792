"""A folder of real files, old enough to be cached, and tools over it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.folder_tools import TEXTS, Tools, settle

from cache import Cache
from cache.redis_client import RedisCacheClient


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files in two folders, settled."""
    root = tmp_path / "root"
    for name, text in TEXTS.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    settle(root)
    return root


@pytest.fixture(params=["layer", "client"])
def client(request: pytest.FixtureRequest, glasscache_url: str) -> Iterator[Any]:
    """Both kinds of cache that the nodes take, over a real server."""
    made: Any = Cache.from_url(glasscache_url) if request.param == "layer" else RedisCacheClient(glasscache_url)
    with made:
        yield made


@pytest.fixture
def tools(folder: Path, client: Any) -> Tools:
    """The shipped tools over the folder."""
    return Tools(folder, client)
