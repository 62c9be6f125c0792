"""Names of hosts, resolved beside the event loop and its threads.

A name server that does not answer holds a thread for many seconds. In the loop's own executor it would
keep the application's calls waiting, and the loop from ending; here it is a daemon thread of its own.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading


def is_address(host: str) -> bool:
    """Whether a host is an IP address already."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def addresses(host: str, port: int) -> list[str]:
    """IP addresses of a host, in the resolver's order.

    Raises:
        OSError: the name does not resolve.
    """
    if is_address(host):
        return [host]
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def settle(found: list[str] | OSError) -> None:
        if answer.done():
            return
        if isinstance(found, OSError):
            answer.set_exception(found)
        else:
            answer.set_result(found)

    def ask() -> None:
        found: list[str] | OSError
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = list(dict.fromkeys(str(row[4][0]) for row in rows))
        except UnicodeError:
            found = OSError("not a host name")
        except OSError as error:
            found = error
        try:
            loop.call_soon_threadsafe(settle, found)
        except RuntimeError:
            return  # the loop has ended meanwhile: nobody waits

    threading.Thread(target=ask, daemon=True, name="glasscache-resolve").start()
    return await answer
