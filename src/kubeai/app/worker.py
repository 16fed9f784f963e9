"""One of several worker processes of a gateway: `python -m kubeai.app.worker`, started by `workers`.

It reads what it has to do from standard input, which stays open as long as its parent lives, and says on a pipe of
its own when it can serve. Its standard output is its parent's: there the access log goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import socket
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import uvloop

from kubeai.access.gate import Guard
from kubeai.config.system import System
from kubeai.kube.client import Client
from kubeai.kube.kubeconfig import find_access, load_kubeconfig
from kubeai.telemetry.logs import LogFormat, setup_logging
from kubeai.telemetry.pages import Memory
from kubeai.telemetry.registry import Metrics

from .serving import serve_until
from .signals import stop_on_signals
from .watching import watchers
from .wiring import GatewayPart, Views

READY = b"ready\n"
#: It has seen the Secret of the API keys.
GUARDED = b"guarded\n"


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """What a worker gets from its parent; file descriptors are inherited under their numbers."""

    system: System
    namespace: str
    #: None: as the parent finds the cluster without being told.
    kubeconfig: Path | None
    #: Whether others than this machine's programs reach the gateway.
    exposed: bool
    #: Whether requests are logged where the configuration does not say.
    access_log: bool
    log_format: LogFormat
    log_level: str
    #: The shared memory, how many processes have pages in it, and which page is this one's.
    memory: int = -1
    processes: int = 1
    number: int = 0
    #: Sockets that listen.
    listening: tuple[int, ...] = ()
    #: The pipe on which the parent listens.
    telling: int = -1
    #: Whether any worker has seen the Secret of the API keys.
    guarded: bool = False


def main() -> None:
    options = pickle.load(sys.stdin.buffer)  # our parent's own words
    setup_logging(options.log_level, options.log_format)
    uvloop.run(_serve(options))


async def _serve(options: WorkerOptions) -> None:
    stop = stop_on_signals()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _watch_parent, stop)
    metrics = Metrics(memory=Memory(options.processes, options.memory), process=options.number)
    access = load_kubeconfig(options.kubeconfig) if options.kubeconfig else find_access()
    async with Client(replace(access, namespace=options.namespace)) as client:
        views = Views(client, options.system)
        first = options.number == 0
        watching = watchers(options.system, logs=options.access_log)
        part = GatewayPart(
            client,
            options.system,
            metrics,
            views,
            exposed=options.exposed,
            announces=first,
            watchers=watching,
            guard=Guard(up=options.guarded, tell=lambda: _tell(options, GUARDED)),
        )
        try:
            await part.gateway.serve([socket.socket(fileno=fd) for fd in options.listening])

            async def ready() -> None:
                await part.wait_ready()
                _tell(options, READY)

            await serve_until(
                stop, part.gateway, options.system.gateway.drain_timeout_s, [views.run(), part.run()], ready
            )
        finally:
            await part.gateway.close()


def _tell(options: WorkerOptions, word: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # a parent that is gone is noticed elsewhere
        os.write(options.telling, word)


def _watch_parent(stop: asyncio.Event) -> None:
    """Nothing more comes from the parent but its end: then finish what runs, so that the port is free for its heir."""
    if not os.read(sys.stdin.fileno(), 1024):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stop.set()


if __name__ == "__main__":
    main()
