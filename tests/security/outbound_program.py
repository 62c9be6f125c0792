"""Every face of the layer under an audit hook; prints where anything tried to go. Run in a process of its own."""

import asyncio
import json
import sys

places = []


def hook(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = args[1] if event == "socket.connect" else args[-1]
        places.append(address if isinstance(address, str) else list(address[:2]) if address else None)
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        places.append(["name", str(args[0])])


sys.addaudithook(hook)

import cache  # noqa: E402
import telemetry  # noqa: E402
from cache import AsyncCache, AsyncRedisCacheClient, Cache, RedisCacheClient  # noqa: E402
from cache.api import create_app  # noqa: E402
from cache.cli import main  # noqa: E402
from cache.fleet import report  # noqa: E402
from cache.metrics import get_metrics  # noqa: E402
from cache.workflow.context_builder_node import ContextBuilderNode  # noqa: E402

URL = sys.argv[1]


def blocking():
    with Cache.from_url(URL, local_categories="static") as made, made.scoped("tenant") as view:
        for one in (made, view):
            one.get_or_compute("static", "k", lambda: 1, tags=["red"])
            one.get_many("prompt", ["a", "b"])
            one.invalidate(pattern="prompt:*")
            one.explain("prompt", "a")
            one.health()
    with RedisCacheClient(URL) as client:
        client.set("prompt:k", "v")
        client.health_check()
        ContextBuilderNode(client, lambda _: []).execute({"task_id": "t", "turn": 0})


async def awaiting():
    async with AsyncCache.from_url(URL) as made:
        await made.get_or_compute("static", "k", lambda: 1)
        await made.health()
        app = create_app(made, get_metrics())
        async with app.router.lifespan_context(app):
            pass
    client = AsyncRedisCacheClient(URL)
    await client.get("prompt:k")
    await client.aclose()


handle = telemetry.setup(service_name="outbound")
blocking()
asyncio.run(awaiting())
fleet = report(cache.Settings.load())
fleet.summary()
fleet.close()
main(["doctor", "--json"])
main(["invalidate", "--all"])
handle.shutdown(5)
with Cache.embedded() as own:
    own.set("prompt", "k", 1)
    inner = own._parts.server.url
print("\n" + json.dumps({"places": places, "embedded": inner}))
