"""The HTTP door: listens, keeps the clients' connections, and goes out without cutting anybody off.

Its parts: `receiver` turns bytes into requests, `service` decides what is asked for, `inference.dispatch` brings a
call to an engine, and `client` ties them to one connection.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
from collections.abc import Callable, Sequence

from kubeai.access.books import Books
from kubeai.access.gate import Gate
from kubeai.config.system import GatewaySettings
from kubeai.inference.deadlines import Deadlines
from kubeai.inference.directory import Directory
from kubeai.inference.dispatch import Dispatcher
from kubeai.inference.headers import valid_request_id
from kubeai.inference.pool import Pool
from kubeai.inference.wake import Wake
from kubeai.routing.balancer import Balancer
from kubeai.telemetry.registry import Metrics

from .client import Client
from .cors import CORS
from .limits import Limits
from .service import Service
from .watching import Watcher

_BACKLOG = 2048


class Gateway:
    """One process's HTTP door."""

    def __init__(
        self,
        directory: Directory,
        wake: Wake,
        balancer: Balancer,
        metrics: Metrics,
        settings: GatewaySettings,
        ready: Callable[[], str | None],
        *,
        gate: Gate | None = None,
        books: Books | None = None,
        watchers: Sequence[Watcher] = (),
        limits: Limits | None = None,
    ) -> None:
        """`ready` returns None, or the reason why this gateway should get no requests.

        Without a `gate` everybody may come in; without `books` nobody counts what requests take.
        """
        self.settings = settings
        self.gate = gate or Gate()
        self.watchers = watchers
        self.limits = limits or Limits()
        self.draining = False
        self.deadlines = Deadlines(self.limits.sweep_interval_s)
        self._pool = Pool(self.deadlines, self.limits.silence_timeout_s)
        self.dispatcher = Dispatcher(
            directory, wake, balancer, self._pool, metrics, settings, books.ledger if books else None
        )
        self._ready = ready
        self.cors = CORS(settings.cors) if settings.cors.allowed_origins else None
        self.service = Service(directory, metrics, self._readiness, self.cors, self.gate, books, settings)
        self._clients: set[Client] = set()
        self._servers: list[asyncio.Server] = []
        #: The port that it listens on; 0 before `start`.
        self.port = 0
        #: Set exactly while no client is connected.
        self._empty = asyncio.Event()
        self._empty.set()
        self._ids = itertools.count(1)
        self._id_prefix = os.urandom(5).hex().encode("ascii")

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises `OSError`. With port 0 the system chooses one: see `port`."""
        loop = asyncio.get_running_loop()
        self._servers = [await loop.create_server(lambda: Client(self), host, port, backlog=_BACKLOG)]
        self.port = self._servers[0].sockets[0].getsockname()[1]

    async def serve(self, sockets: Sequence[socket.socket]) -> None:
        """Take connections from sockets that listen already."""
        loop = asyncio.get_running_loop()
        self._servers = [
            await loop.create_server(lambda: Client(self), sock=each, backlog=_BACKLOG) for each in sockets
        ]
        self.port = sockets[0].getsockname()[1]

    @property
    def clients(self) -> int:
        """How many clients are connected."""
        return len(self._clients)

    async def drain(self, grace_s: float) -> None:
        """Take no new connection, let running requests end within the grace, and close (fault P4)."""
        self.draining = True
        self._stop_listening()
        for client in list(self._clients):
            client.drain()
        try:
            async with asyncio.timeout(grace_s):
                await self._empty.wait()
        except TimeoutError:
            pass
        await self.close()

    async def close(self) -> None:
        """Close everything now."""
        self.draining = True
        self._stop_listening()
        for client in list(self._clients):
            client.shut()
        await self._empty.wait()
        self._pool.close()
        for watcher in self.watchers:
            await watcher.close()

    def _stop_listening(self) -> None:
        for server in self._servers:
            server.close()

    # What the clients call: see `client.Door`

    def joined(self, client: Client) -> None:
        self._clients.add(client)
        self._empty.clear()

    def left(self, client: Client) -> None:
        self._clients.discard(client)
        if not self._clients:
            self._empty.set()

    def request_id(self, given: bytes | None) -> bytes:
        """The client's own, or a new one: the same id goes through gateway and engine."""
        if given is not None and valid_request_id(given):
            return given
        return b"%b-%x" % (self._id_prefix, next(self._ids))

    def _readiness(self) -> str | None:
        return "shutting down" if self.draining else self._ready()
