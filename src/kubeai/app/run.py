"""`kubeai manager`: operator, gateway and autoscaler on a cluster, in one process; or two parts of it alone.

It starts as the existing implementation does: the configuration's path in CONFIG_PATH, the namespace in
POD_NAMESPACE, the API server from the Pod's service account or from KUBECONFIG, the API on port 8000.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import uvloop

from kubeai.access.books import Books
from kubeai.config.load import load_system
from kubeai.config.system import System
from kubeai.kube.access import ClusterAccess
from kubeai.kube.client import Client
from kubeai.kube.kubeconfig import find_access, load_kubeconfig
from kubeai.kube.lease import LeaderElection
from kubeai.telemetry.logs import LogFormat, setup_logging
from kubeai.telemetry.registry import Metrics

from .admin import AdminServer
from .serving import Door, allow_many_connections, listen, serve_until
from .signals import stop_on_signals
from .watching import watchers
from .wiring import ControlPlane, GatewayPart, OperatorPart, Views, further_namespaces
from .worker import WorkerOptions
from .workers import Workers

log = logging.getLogger(__name__)

DEFAULT_CONFIG_PATH = "config.yaml"
#: Name of the Lease that decides which of several managers reconciles and scales.
LEASE = "kubeai.org"

#: What a process is: everything, or one part of it beside the other one in a Deployment of its own.
Role = Literal["manager", "operator", "gateway"]
Work = Callable[[], Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True)
class ManagerOptions:
    """How it was called. What is None comes from the environment."""

    config: Path | None = None
    namespace: str | None = None
    kubeconfig: Path | None = None
    host: str = "0.0.0.0"
    port: int = 8000
    log_format: LogFormat = "json"
    log_level: str = "INFO"
    #: Processes that serve requests; with one it is this one.
    workers: int = 1


def run_manager(options: ManagerOptions, role: Role = "manager") -> None:
    """Serve until SIGTERM or SIGINT, then finish running requests.

    Raises `ConfigError`, `AccessError` or `StartError` when that is impossible.
    """
    setup_logging(options.log_level, options.log_format)
    allow_many_connections()
    system = load_system(options.config or Path(os.environ.get("CONFIG_PATH", DEFAULT_CONFIG_PATH)))
    access = load_kubeconfig(options.kubeconfig) if options.kubeconfig else find_access()
    namespace = options.namespace or os.environ.get("POD_NAMESPACE") or access.namespace
    uvloop.run(_serve(options, system, replace(access, namespace=namespace), role))


async def _serve(options: ManagerOptions, system: System, access: ClusterAccess, role: Role) -> None:
    stop = stop_on_signals()
    workers = _workers(options, system, access)
    metrics = workers.metrics() if workers else Metrics()
    async with Client(access) as client:
        if workers is not None:
            workers.keep_books(client, metrics)
        process = PROCESSES[role](client, system, metrics, workers)
        admin = AdminServer(metrics, lambda: "stopping" if stop.is_set() else process.unready_reason(), process.books)
        try:
            await admin.start(system.metrics_addr, system.health_address)
            if process.gateway is not None:
                await listen(process.gateway, options.host, options.port)
                log.info("serving the API on %s:%s", options.host, process.gateway.port)
            others = "".join(f", {name}" for name in further_namespaces(client, system))
            log.info("%s for namespace %s%s", role, access.namespace, others)
            await serve_until(
                stop,
                process.gateway,
                system.gateway.drain_timeout_s,
                [process.follow()],
                process.wait_ready,
                deciding=_elected(client, system, process.decide) if process.decide else None,
            )
        finally:
            if process.gateway is not None:
                await process.gateway.close()
            await admin.close()


def _elected(client: Client, system: System, decide: Work) -> Coroutine[None, None, None]:
    identity = f"{socket.gethostname()}_{uuid.uuid4()}"  # a restarted container has the same host name
    return LeaderElection(client, LEASE, identity, system.leader_election).run(decide)


@dataclass(frozen=True, slots=True)
class Process:
    """What one of KubeAI's processes consists of."""

    #: Keeps the caches current.
    follow: Work
    unready_reason: Callable[[], str | None]
    wait_ready: Work
    gateway: Door | None = None
    books: Books | None = None
    #: Does what only the leader may do.
    decide: Work | None = None


def _workers(options: ManagerOptions, system: System, access: ClusterAccess) -> Workers | None:
    if options.workers == 1:
        return None
    namespace, logs = access.namespace, (options.log_format, options.log_level)
    return Workers(options.workers, WorkerOptions(system, namespace, options.kubeconfig, True, True, *logs))


def _manager(client: Client, system: System, metrics: Metrics, workers: Workers | None) -> Process:
    looking_on = () if workers else watchers(system, logs=True)
    instance = socket.gethostname()
    plane = ControlPlane(client, system, metrics, instance=instance, watchers=looking_on, serving=workers)
    return Process(plane.follow, plane.unready_reason, plane.wait_ready, plane.gateway, plane.books, plane.decide)


def _operator(client: Client, system: System, metrics: Metrics, workers: Workers | None) -> Process:
    views = Views(client, system)
    part = OperatorPart(client, system, metrics, views, instance=socket.gethostname())

    async def follow() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(views.run())
            group.create_task(part.follow())

    return Process(follow, views.unready_reason, views.wait_ready, decide=part.decide)


def _gateway(client: Client, system: System, metrics: Metrics, workers: Workers | None) -> Process:
    if workers is not None:
        return Process(workers.run, workers.unready_reason, workers.wait_ready, workers, workers.books)
    views = Views(client, system)
    part = GatewayPart(client, system, metrics, views, watchers=watchers(system, logs=True))

    async def follow() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(views.run())
            group.create_task(part.run())

    return Process(follow, part.unready_reason, part.wait_ready, part.gateway, part.books)


PROCESSES: Mapping[Role, Callable[[Client, System, Metrics, Workers | None], Process]] = {
    "manager": _manager,
    "operator": _operator,
    "gateway": _gateway,
}
