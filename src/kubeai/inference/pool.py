"""Idle connections to engines, kept for the next request.

The one used last is taken first, so that in quiet times the surplus grows old and is closed. Endpoints come and go;
an address without idle connections is forgotten.
"""

from __future__ import annotations

import asyncio

from .deadlines import Deadlines
from .upstream import Address, Upstream

CONNECT_TIMEOUT_S = 5.0
#: Common servers close an idle connection after 5 (uvicorn) to 75 seconds; being first only saves a retry.
IDLE_TIMEOUT_S = 60.0
#: To each endpoint. With fewer than come at a time connections are closed and opened again and again.
MAX_IDLE = 1024


class Pool:
    """All connections of one process to its engines."""

    def __init__(self, deadlines: Deadlines, silence_timeout_s: float = 600.0) -> None:
        """An engine that sends nothing for `silence_timeout_s` is given up."""
        self._deadlines = deadlines
        self._silence_timeout_s = silence_timeout_s
        #: Connections without an exchange, the one used last at the end. No list is empty.
        self._idle: dict[Address, list[Upstream]] = {}
        #: Every connection, to close them at the end.
        self._all: set[Upstream] = set()
        self._closed = False

    def take(self, address: Address) -> Upstream | None:
        """An idle connection, if there is one."""
        idle = self._idle.get(address)
        while idle:
            upstream = idle.pop()
            if not idle:
                del self._idle[address]
            if upstream.usable:
                return upstream
        return None

    async def connect(self, address: Address) -> Upstream:
        """A new connection. Raises `OSError` or `TimeoutError`. Proxy settings of the environment do not apply."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, upstream = await loop.create_connection(lambda: self._upstream(address), *address)
        if upstream.usable:  # it may be lost again by now, and then nobody would take it out
            self._all.add(upstream)
        return upstream

    def close(self) -> None:
        """Close all connections; exchanges that still run fail."""
        self._closed = True
        for upstream in list(self._all):
            upstream.close()

    @property
    def size(self) -> int:
        """How many connections are open."""
        return len(self._all)

    def _upstream(self, address: Address) -> Upstream:
        return Upstream(address, self._deadlines, self._silence_timeout_s, on_free=self._put, on_lost=self._forget)

    def _put(self, upstream: Upstream) -> None:
        idle = self._idle.get(upstream.address)
        if self._closed or (idle is not None and len(idle) >= MAX_IDLE):
            upstream.close()
            return
        upstream.deadline = asyncio.get_running_loop().time() + IDLE_TIMEOUT_S
        if idle is None:
            self._idle[upstream.address] = [upstream]
        else:
            idle.append(upstream)

    def _forget(self, upstream: Upstream) -> None:
        self._all.discard(upstream)
        idle = self._idle.get(upstream.address)
        if idle is not None and upstream in idle:
            idle.remove(upstream)
            if not idle:
                del self._idle[upstream.address]
