"""A caller inside the stack that puts one word into everything that a caller can name; run by ``python -`` there.

Every operation of every client, with trouble in between: refused writes, failing computations, bad input.
"""

import contextlib
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import telemetry
from cache import Cache, create_default_redis_client
from cache.workflow.context_builder_node import ContextBuilderNode
from cache.workflow.file_tools import file_dispatch, file_registry
from cache.workflow.sandbox import Sandbox
from cache.workflow.tool_executor import execute_tool_call
from cache.workflow.tools import ToolRequest
from telemetry.runs import node, run

WORD = sys.argv[1]


def fail():
    raise RuntimeError(f"{WORD} in an error")


def layer(cache):
    for category, key in (
        ("context", (WORD, 1)),
        ("tool", (WORD, {"path": WORD})),
        ("prompt", WORD),
        ("embedding", WORD),
    ):
        value = [1.0, 2.0] if category == "embedding" else {"text": WORD}
        for _ in range(2):
            cache.get_or_compute(category, key, lambda value=value: value, tags=[WORD])
        found = cache.lookup(category, key, tags=[WORD])
        cache.invalidate(tags=[WORD])
        cache.set(category, key, value, tags=[WORD], fence=found.fence)
        cache.explain(category, key)
        with contextlib.suppress(RuntimeError):
            cache.get_or_compute(category, (WORD, 2) if category == "context" else (WORD, {WORD: 2}), fail)
        cache.delete(category, key)
    for pattern in (f"context:{WORD}:*", f"tool:{WORD}:*", f"prompt:{WORD}*"):
        cache.invalidate(pattern=pattern)


def plain(client):
    client.set(f"prompt:{WORD}", WORD)
    client.get(f"prompt:{WORD}")
    client.get_json(f"prompt:{WORD}")
    client.set(f"{WORD}:{WORD}", WORD, ttl=-1)
    client.get(f"{WORD}:{WORD}")
    client.invalidate_pattern(f"prompt:{WORD}*")
    client.client.execute_command("GET", WORD)
    with contextlib.suppress(Exception):
        client.client.execute_command("LPUSH", WORD, WORD)
    with contextlib.suppress(Exception):
        client.client.pipeline(transaction=False).set(WORD, WORD).execute_command("NOSUCH", WORD).execute()


def workflow(cache, folder):
    Path(folder, f"{WORD}.txt").write_text(f"{WORD}\n")
    sandbox, registry, tools = Sandbox(folder), file_registry(), file_dispatch()
    ContextBuilderNode(cache, lambda _: [{"role": "user", "content": WORD}]).execute({"task_id": WORD, "turn": 0})
    for name, payload in (
        ("read_file", {"path": f"{WORD}.txt"}),
        ("read_file", {"path": f"{WORD}.gone"}),
        ("search_text", {"pattern": WORD}),
        ("write_file", {"path": f"{WORD}.txt", "content": WORD}),
        (WORD, {WORD: WORD}),
    ):
        execute_tool_call(ToolRequest(name, payload), registry, sandbox, tools, cache_client=cache)


def main():
    # compose names the workflow's service; this one has a name of its own
    os.environ["OTEL_SERVICE_NAME"] = "glasscache-canary"
    handle = telemetry.setup()
    with (
        Cache.from_settings() as cache,
        create_default_redis_client() as client,
        TemporaryDirectory(prefix=WORD) as folder,
    ):
        # a run that fails is kept by the sampling, and all of it with it
        with contextlib.suppress(RuntimeError), run():
            with node("layer"):
                layer(cache)
            with node("plain"):
                plain(client)
            with node("workflow"):
                workflow(cache, folder)
            fail()
    assert handle.shutdown(10)
    print("sung")


if __name__ == "__main__":
    main()
