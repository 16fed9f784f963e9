"""`kubeai up`: the whole of KubeAI on one machine, in one process.

The embedded API server and the node agent take the place of a cluster; on top runs what runs on a cluster. Models'
servers are processes of their own, which end with this one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from kubeai.access.credentials import LOOPBACK, is_within
from kubeai.config.system import System
from kubeai.embedded.apiserver import APIServer, PortInUseError
from kubeai.embedded.jobs import JobController
from kubeai.embedded.kubeconfig import write_kubeconfig
from kubeai.embedded.node.agent import NodeAgent
from kubeai.embedded.node.commands import PodCommands
from kubeai.embedded.node.engines import Engines
from kubeai.embedded.node.logs import PodLogs
from kubeai.kube.access import token_access
from kubeai.kube.client import Client
from kubeai.telemetry.logs import LogFormat, setup_logging
from kubeai.telemetry.registry import Metrics

from .datadir import DataDir, api_token, open_data_dir
from .errors import StartError
from .local_system import local_system
from .prepare import Prepare, Progress, read_models
from .serving import allow_many_connections, listen, serve_until
from .signals import stop_on_signals, unless
from .volume_limit import VolumeLimit
from .watching import watchers
from .wiring import ControlPlane
from .worker import WorkerOptions
from .workers import Workers

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """How `kubeai up` was called."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8000
    api_port: int = 0
    config: Path | None = None
    manifests: tuple[Path, ...] = ()
    log_format: LogFormat = "console"
    log_level: str = "WARNING"
    #: Processes that serve requests; with one it is this one.
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Ready:
    """What is there once everything listens: for the last lines that the user sees."""

    url: str
    kubeconfig: Path
    models: tuple[str, ...]


def run_local(options: LocalOptions, progress: Progress, ready: Callable[[Ready], None]) -> None:
    """Serve until SIGINT or SIGTERM, then finish running requests and stop all servers.

    Raises `StartError`, `ConfigError` or `JournalError` when that is impossible.
    """
    setup_logging(options.log_level, options.log_format)
    allow_many_connections()
    uvloop.run(_serve(options, progress, ready))


async def _serve(options: LocalOptions, progress: Progress, ready: Callable[[Ready], None]) -> None:
    stop = stop_on_signals()
    manifests = read_models(options.manifests)
    system = local_system(options.config)
    async with _machine(options, system) as machine:
        workers = _workers(options, system, machine)
        plane = ControlPlane(
            machine.client,
            system,
            workers.metrics() if workers else Metrics(),
            instance="local",
            metric_addresses=lambda: (f"{_loopback(options.host)}:{plane.gateway.port}",),
            watchers=() if workers else watchers(system, logs=False),
            exposed=_exposed(options),
            serving=workers,
        )
        try:
            await listen(plane.gateway, options.host, options.port)
            prepare = Prepare(machine.client, system, machine.engines, machine.data.cache, progress)
            names = await unless(stop, prepare.models(manifests))
            if names is not None:
                parts = [plane.follow(), machine.run()]

                async def serving() -> None:
                    await plane.wait_ready()
                    await machine.agent.wait_settled()  # Pods of the last run may look ready that are no more
                    _announce(machine.data, plane, options, names, ready)

                await serve_until(
                    stop, plane.gateway, system.gateway.drain_timeout_s, parts, serving, deciding=plane.decide()
                )
        finally:
            machine.data.endpoint.unlink(missing_ok=True)
            await plane.gateway.close()


def _workers(options: LocalOptions, system: System, machine: _Machine) -> Workers | None:
    if options.workers == 1:
        return None
    where = (machine.client.namespace, machine.data.kubeconfig, _exposed(options))
    return Workers(options.workers, WorkerOptions(system, *where, False, options.log_format, options.log_level))


def _exposed(options: LocalOptions) -> bool:
    return not is_within(options.host, LOOPBACK)


@dataclass
class _Machine:
    """The stand-in for a cluster: an API server, one node, and what runs on both."""

    data: DataDir
    client: Client
    engines: Engines
    agent: NodeAgent
    volume_limit: VolumeLimit | None

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.agent.run())
            group.create_task(JobController(self.client).run())
            if self.volume_limit:
                group.create_task(self.volume_limit.run())


@asynccontextmanager
async def _machine(options: LocalOptions, system: System) -> AsyncIterator[_Machine]:
    data, lock = open_data_dir(options.data_dir)
    async with AsyncExitStack() as stack:
        stack.enter_context(lock)
        token = api_token(data)
        commands = PodCommands()
        server = APIServer(data.root, token=token, logs=PodLogs(data.root), commands=commands)
        await _start_api(server, data, options.api_port)
        stack.push_async_callback(server.stop)
        write_kubeconfig(data.kubeconfig, server.url, token)
        client = await stack.enter_async_context(Client(token_access(server.url, token)))
        engines = Engines(data.root)
        limit = system.model_loading.cache_limit
        agent = NodeAgent(client, data.root, engines=engines, commands=commands, cache_limit=limit)
        yield _Machine(data, client, engines, agent, VolumeLimit(client, data.volumes, limit) if limit else None)


async def _start_api(server: APIServer, data: DataDir, wanted: int) -> None:
    """Listen where the user wants, else where it was last time, so that kubeconfigs in use stay valid."""
    last = data.api_port.read_text(encoding="ascii").strip() if data.api_port.exists() else ""
    port = wanted or (int(last) if last.isdecimal() else 0)
    try:
        await server.start(port=port)
    except PortInUseError as error:
        if wanted:
            raise StartError(f"the API server cannot start: {error} Choose it with --api-port.") from error
        await server.start(port=0)
    data.api_port.write_text(server.url.rpartition(":")[2], encoding="ascii")


def _announce(
    data: DataDir, plane: ControlPlane, options: LocalOptions, models: tuple[str, ...], ready: Callable[[Ready], None]
) -> None:
    host = _loopback(options.host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{plane.gateway.port}"
    # Written whole or not at all: others read it as soon as it is there.
    unfinished = data.endpoint.with_suffix(".new")
    unfinished.write_text(url + "\n", encoding="ascii")
    unfinished.replace(data.endpoint)
    ready(Ready(url, data.kubeconfig, models))


def _loopback(host: str) -> str:
    """An address at which this machine reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)
