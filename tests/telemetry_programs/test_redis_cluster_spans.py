"""CLIENT spans of a cluster's client, on a real cluster of one node."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis
import redis.asyncio

from telemetry.testing import Captured

CANARY = "canary7f3a"


def use_sync(port: int) -> None:
    with redis.RedisCluster(host="127.0.0.1", port=port) as client:
        client.set(CANARY, CANARY)
        client.pipeline().get(CANARY).get(CANARY).execute()
        client.lpush(CANARY, CANARY)


def use_async(port: int) -> None:
    async def main() -> None:
        async with redis.asyncio.RedisCluster(host="127.0.0.1", port=port) as client:
            await client.set(CANARY, CANARY)
            await client.pipeline().get(CANARY).get(CANARY).execute()
            await client.lpush(CANARY, CANARY)

    asyncio.run(main())


@pytest.mark.parametrize("use", [use_sync, use_async])
def test_a_clusters_commands_are_completed(cluster_port: int, captured: Captured, use: Any) -> None:
    """Commands, pipelines and failures of a cluster have the convention's names, and nothing raw."""
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        use(cluster_port)
    spans = [span for span in captured.spans() if span.name in ("SET", "PIPELINE GET", "LPUSH")]
    found = [dict(span.attributes or {}) for span in spans]
    assert [one["db.operation.name"] for one in found] == ["SET", "PIPELINE GET", "LPUSH"]
    assert [one.get("db.operation.batch.size") for one in found] == [None, 2, None]
    assert found[1]["db.query.text"] == "GET ?; GET ?"
    assert (found[2]["error.type"], found[2]["db.response.status_code"]) == ("WRONGTYPE", "WRONGTYPE")
    assert all(CANARY not in span.to_json() for span in captured.spans())
