"""A gateway that is several processes: each worker has its own loop, caches and connections, and all share one port.

The kernel spreads new connections over the workers' sockets. The sockets are this process's: when a worker dies,
whoever connects in the meantime waits for the next one in the queue of the same socket. What the dead worker had
counted as running is taken back, and another one takes its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import signal
import socket
import sys
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kubeai.access.books import Books
from kubeai.kube.client import Client
from kubeai.telemetry.pages import Memory, shared_memory
from kubeai.telemetry.registry import Metrics
from kubeai.telemetry.totals import in_flight, strike_out

from .wiring import UsagePart
from .worker import GUARDED, READY, WorkerOptions

log = logging.getLogger(__name__)

_BACKLOG = 2048
#: A worker that lived for less did not die of an accident: the next one waits, longer each time.
_SOUND_LIFE_S = 10.0
_FIRST_DELAY_S, _MAX_DELAY_S = 1.0, 30.0
#: What a worker may take to end beyond the time in which it lets requests end.
_END_S = 5.0


@dataclass(slots=True, eq=False)
class _Worker:
    number: int
    sockets: Sequence[socket.socket]
    process: asyncio.subprocess.Process | None = None
    ready: bool = False
    #: How long its successor waits, should it die young.
    delay_s: float = 0.0


class Workers:
    """Stands in for a `Gateway` where one process is too few; `run` has to run for as long."""

    def __init__(self, count: int, options: WorkerOptions) -> None:
        """`options` are what all workers have in common."""
        self._count = count
        self._memory_fd = shared_memory(count + 1)
        self._memory = Memory(count + 1, self._memory_fd)
        self._options = replace(options, memory=self._memory_fd, processes=count + 1)
        self._workers: list[_Worker] = []
        self._usage: UsagePart | None = None
        self._draining = False
        #: Set when a worker becomes ready.
        self._news = asyncio.Event()
        self.port = 0

    @property
    def gateway(self) -> Workers:
        return self

    @property
    def books(self) -> Books | None:
        """What the workers have written down of usage."""
        return self._usage.books if self._usage else None

    def keep_books(self, client: Client, metrics: Metrics) -> None:
        self._usage = UsagePart(client, metrics, self._options.system.usage)

    def loads(self, models: Collection[str]) -> Mapping[str, int]:
        """Endpoint name -> requests in flight, of these Models in all workers."""
        return in_flight(self._memory, models)

    def metrics(self) -> Metrics:
        """This process's own, which serve the sums of all."""
        return Metrics(memory=self._memory, process=self._count)

    async def start(self, host: str, port: int) -> None:
        """Take the address. Raises `OSError`. With port 0 the system chooses one: see `port`."""
        addresses = await _addresses(host, port)
        for number in range(self._count):
            sockets = [_listen(family, _with_port(address, self.port)) for family, address in addresses]
            self.port = sockets[0].getsockname()[1]
            self._workers.append(_Worker(number, sockets))

    async def run(self) -> None:
        """Keep all workers running until they are drained."""
        try:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._usage.run()) if self._usage else None
                async with asyncio.TaskGroup() as keeping:
                    for worker in self._workers:
                        keeping.create_task(self._keep(worker))
                if reading is not None:
                    reading.cancel()
        finally:
            await self.close()

    def unready_reason(self) -> str | None:
        """Why no request can be served right."""
        return None if any(worker.ready for worker in self._workers) else "no worker process is ready yet"

    async def wait_ready(self) -> None:
        """Until all are ready."""
        while not all(worker.ready for worker in self._workers):
            self._news.clear()
            await self._news.wait()

    async def drain(self, grace_s: float) -> None:
        """Take no new connection, and let each worker finish what it has begun within the grace (fault P4)."""
        self._draining = True
        self._close_sockets()
        running = [worker.process for worker in self._workers if worker.process is not None]
        for process in running:
            _signal(process, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s + _END_S):
                await asyncio.gather(*(process.wait() for process in running))
        await self.close()

    async def close(self) -> None:
        """End all of them now."""
        self._draining = True
        self._close_sockets()
        running = [worker.process for worker in self._workers if worker.process is not None]
        for process in running:
            _signal(process, signal.SIGKILL)
        await asyncio.gather(*(process.wait() for process in running))

    async def _keep(self, worker: _Worker) -> None:
        loop = asyncio.get_running_loop()
        while not self._draining:
            began = loop.time()
            code = await self._live(worker)
            strike_out(self._memory, worker.number)
            await self._mourn(worker, code, loop.time() - began)

    async def _mourn(self, worker: _Worker, code: int, lived_s: float) -> None:
        if not self._draining:
            log.error("worker %d ended %s; another one takes its place", worker.number, _how(code))
            delay_s, worker.delay_s = next_delay_s(worker.delay_s, lived_s)
            await asyncio.sleep(delay_s)

    async def _live(self, worker: _Worker) -> int:
        """One worker's life; returns how it ended."""
        async with _pipe() as (words, telling):
            if self._draining:  # the sockets are closed, and it would end the others with an error
                os.close(telling)
                return 0
            process = await self._spawn(worker, telling)
            try:
                async for word in words:
                    self._heed(worker, word)
                return await process.wait()
            finally:
                worker.ready = False
                worker.process = None
                await _end(process)

    def _heed(self, worker: _Worker, word: bytes) -> None:
        if word == READY:
            worker.ready = True
            self._news.set()
        elif word == GUARDED:
            self._options = replace(self._options, guarded=True)  # of those that come later

    async def _spawn(self, worker: _Worker, telling: int) -> asyncio.subprocess.Process:
        """It writes its log where we do, and tells us what we must know on `telling`, which is then its alone."""
        listening = tuple(each.fileno() for each in worker.sockets)
        options = replace(self._options, number=worker.number, listening=listening, telling=telling)
        try:
            # A session of its own: Ctrl-C is for us, who end the workers before what they need.
            worker.process = process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "kubeai.app.worker"),
                stdin=asyncio.subprocess.PIPE,
                pass_fds=(self._memory_fd, *listening, telling),
                start_new_session=True,
            )
        finally:
            os.close(telling)
        assert process.stdin is not None
        process.stdin.write(pickle.dumps(options))
        return process

    def _close_sockets(self) -> None:
        for worker in self._workers:
            for each in worker.sockets:
                each.close()


def next_delay_s(delay_s: float, lived_s: float) -> tuple[float, float]:
    """How long to wait now, and how long the next time if the next worker dies young, too."""
    now_s = delay_s if lived_s < _SOUND_LIFE_S else 0.0
    return now_s, min(max(_FIRST_DELAY_S, 2 * now_s), _MAX_DELAY_S)


@contextlib.asynccontextmanager
async def _pipe() -> AsyncIterator[tuple[asyncio.StreamReader, int]]:
    """What comes, and where to write it. Whoever gets the latter closes it."""
    coming, telling = os.pipe()
    reader = asyncio.StreamReader()
    reading, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(coming, "rb", 0)
    )
    try:
        yield reader, telling
    finally:
        reading.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        _signal(process, signal.SIGKILL)
        await process.wait()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _how(code: int) -> str:
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"


_Address = tuple[int, tuple[Any, ...]]


async def _addresses(host: str, port: int) -> list[_Address]:
    """Where to listen, after a look whether anybody is there: the workers share the port, with strangers too."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses: list[_Address] = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    for family, address in addresses:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(address)
            probe.listen(1)
    return addresses


def _with_port(address: tuple[Any, ...], port: int) -> tuple[Any, ...]:
    return (address[0], port, *address[2:]) if port else address


def _listen(family: int, address: tuple[Any, ...]) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listening.bind(address)
    listening.listen(_BACKLOG)
    listening.setblocking(False)
    return listening
