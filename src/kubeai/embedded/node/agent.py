"""The node agent: this machine as the one node of the embedded cluster.

It watches Pods, gives each that fits a seat and a runner, and tells the API server what becomes of them. The rest of
KubeAI sees Pods become ready and knows nothing of processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from kubeai.api.k8s.resources import CONFIG_MAPS, NODES, PODS, SECRETS
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError, ConnectionFailed
from kubeai.kube.events import EventRecorder
from kubeai.kube.informer import Informer

from .addresses import NoAddressError
from .adoption import restore
from .commands import PodCommands
from .containers import PodSpec, parse_pod
from .devices import Capacity, detect_capacity, machine_facts
from .engines import Engines
from .launch import Machine
from .life import PodLife
from .logs import container_dir, log_path, rotate, runs
from .nodeobject import node_object, node_status
from .nodepod import NodePod, decode_pod
from .podevents import PodEvent
from .podstatus import failed_status, stopped_status, unschedulable_status
from .process import Process, alive, kill_strays, read_record
from .reporting import PodWriter
from .runner import Clock, PodRunner
from .scheduling import free_resources, misfit, pod_requests
from .seats import Seat, read_seat, take_seat
from .volumes import free_memory, remove_pod_files

log = logging.getLogger(__name__)

JSONObject = dict[str, Any]
_ROTATE_EVERY_S = 30
#: a full disk gets emptied, ports become free
_SEAT_AGAIN_S = 10
_RESOURCES = {"Secret": SECRETS, "ConfigMap": CONFIG_MAPS}


@dataclass(slots=True)
class Tenant:
    """A Pod that has a seat."""

    spec: PodSpec
    seat: Seat
    runner: PodRunner
    writer: PodWriter
    #: the newest status that its runner reported
    status: JSONObject = field(default_factory=dict)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class NodeAgent:
    """Runs the Pods of the whole cluster on this machine."""

    def __init__(
        self,
        client: Client,
        data_dir: Path,
        *,
        node_name: str = "local",
        capacity: Capacity | None = None,
        engines: Engines | None = None,
        commands: PodCommands | None = None,
        stop_grace_s: float | None = 10,
        cache_limit: str | None = None,
    ) -> None:
        """`stop_grace_s`: what processes get when the agent is stopped; None leaves them running, to be adopted.

        `cache_limit`: a quantity; what loaders are to keep the cache of downloads below.
        """
        self._client = client
        # Processes have working directories of their own, so no path that they are given may be relative.
        self._data_dir = data_dir = data_dir.absolute()
        self._node_name = node_name
        self._capacity = capacity
        self._stop_grace_s = stop_grace_s
        self._machine = Machine(data_dir, engines or Engines(data_dir), self._fetch, node_name, cache_limit)
        self._informer = Informer(client, PODS, decode_pod, namespace="")
        self._commands = commands or PodCommands()
        #: by uid; an entry exists from the Pod's seat until its last process is gone
        self._tenants: dict[str, Tenant] = {}
        #: of those, and of Pods that the API server is still to forget
        self._stays: set[asyncio.Task[None]] = set()
        self._recorder = EventRecorder(client, "kubeai-node", node_name)
        self._events: asyncio.Queue[tuple[NodePod, PodEvent]] = asyncio.Queue()
        self._settled = asyncio.Event()
        #: set when a Pod may have to be seated: one came, or one went
        self._look = asyncio.Event()
        self._leaving = False
        self._clock: Clock = lambda: datetime.now(UTC)

    async def wait_settled(self) -> None:
        """Until every Pod that was here before is adopted or started again."""
        await self._settled.wait()

    async def run(self) -> None:
        """Until cancelled; then the processes are stopped, or left to be adopted."""
        self._clock = _clock()
        self._capacity = self._capacity or await detect_capacity()
        self._informer.on_change(self._on_change)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._informer.run())
                await self._register(self._capacity)
                await self._informer.wait_synced()
                self._settle()
                group.create_task(self._rotate_logs())
                group.create_task(self._record_events())
                await self._seat_pods()
        finally:
            await self._leave()

    # --- what the API server tells ---

    def _on_change(self, old: NodePod | None, new: NodePod | None) -> None:
        pod = new or old
        if pod is None or self._leaving or not self._settled.is_set():
            return
        tenant = self._tenants.get(pod.uid)
        if tenant is None:
            if new is None:
                remove_pod_files(self._machine.pod_dir(pod.uid))
            self._look.set()
        elif new is None:  # removed by force: nobody waits for it any more
            tenant.runner.delete(0)
        elif new.grace_s is not None:
            tenant.runner.delete(new.grace_s)

    async def _fetch(self, kind: str, namespace: str, name: str) -> JSONObject | None:
        try:
            return await self._client.get(_RESOURCES[kind], name, namespace)
        except APIError as error:
            if error.not_found:
                return None
            raise OSError(None, f"{kind} {name} cannot be read: {error}") from error
        except ConnectionFailed as error:
            raise OSError(None, f"{kind} {name} cannot be read: {error}") from error

    # --- the machine ---

    async def _register(self, capacity: Capacity) -> None:
        facts = machine_facts()
        try:
            await self._client.create(NODES, node_object(self._node_name, facts))
        except APIError as error:
            if not error.already_exists:
                raise
        status = node_status(facts, capacity.resources(), self._clock())
        await self._client.patch(NODES, self._node_name, {"status": status}, subresource="status", type="merge")

    async def _record_events(self) -> None:
        """Apart from everything else: an Event must never hold up the Pod that it is about."""
        while True:
            pod, event = await self._events.get()
            involved = {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": pod.name,
                "namespace": pod.namespace,
                "uid": pod.uid,
            }
            await self._recorder.record(involved, event.type, event.reason, event.message)

    async def _rotate_logs(self) -> None:
        while True:
            await asyncio.sleep(_ROTATE_EVERY_S)
            for tenant in self._tenants.values():
                for container in tenant.spec.all_containers:
                    directory = container_dir(self._data_dir, tenant.spec.uid, container.name)
                    for run in runs(directory)[-1:]:
                        rotate(log_path(directory, run))

    # --- after a restart ---

    def _settle(self) -> None:
        """Adopt what runs, start again what does not, and leave no process that belongs to nobody."""
        pods = {pod.uid: pod for pod in self._informer.all() if pod.node_name == self._node_name and not pod.finished}
        for pod_dir in (self._data_dir / "pods").glob("*"):
            if pod_dir.name not in pods:
                for process in _processes(pod_dir).values():
                    process.kill()
                if not any(pod.uid == pod_dir.name for pod in self._informer.all()):
                    remove_pod_files(pod_dir)
        known: set[int] = set()
        for pod in sorted(pods.values(), key=lambda pod: pod.age_key):
            pod_dir = self._machine.pod_dir(pod.uid)
            running = _processes(pod_dir)
            known |= {process.pid for process in running.values()}
            if running or read_seat(pod_dir):  # the others are newcomers, whoever has bound them
                self._seat(pod, running)
        for pod in self._informer.all():
            if pod.node_name == self._node_name and pod.grace_s is not None and pod.uid not in self._tenants:
                self._see_off(pod)
        if strays := kill_strays(self._data_dir, frozenset(known)):
            log.warning("killed %d processes of an earlier run that belonged to no Pod", len(strays))
        self._settled.set()
        self._look.set()

    # --- seats ---

    async def _seat_pods(self) -> None:
        """Give seats to waiting Pods, the oldest first, whenever one may be free."""
        while True:
            await self._look.wait()
            self._look.clear()
            for seen in sorted(self._informer.all(), key=lambda pod: pod.age_key):
                # As it is now: refusing those before it took time.
                pod = self._current(seen)
                if pod and pod.uid not in self._tenants and not pod.finished and pod.grace_s is None:
                    await self._consider(pod)

    def _current(self, seen: NodePod) -> NodePod | None:
        """The same Pod as the API server tells of it now."""
        pod = self._informer.get(seen.namespace, seen.name)
        return pod if pod is not None and pod.uid == seen.uid else None

    async def _consider(self, pod: NodePod) -> None:
        try:
            message = self._place(pod)
        except (ValueError, KeyError, TypeError, ArithmeticError) as error:
            await self._refuse(pod, failed_status("InvalidPod", f"this Pod cannot be read: {error!r}"))
            return
        if message is not None:
            self._events.put_nowait((pod, PodEvent("Warning", "FailedScheduling", message)))
            await self._refuse(pod, unschedulable_status(message, pod.status, self._clock()))

    def _place(self, pod: NodePod) -> str | None:
        """Give it a seat; why it has none."""
        assert self._capacity is not None
        seated = [pod_requests(tenant.spec) for tenant in self._tenants.values() if not tenant.runner.over]
        requests = pod_requests(parse_pod(pod.body))
        if message := misfit(requests, free_resources(self._capacity.resources(), seated)):
            return message
        try:
            self._seat(pod, {})
        except (NoAddressError, OSError) as error:
            asyncio.get_running_loop().call_later(_SEAT_AGAIN_S, self._look.set)
            return f"this machine has no place for the Pod: {error}"
        return None

    async def _refuse(self, pod: NodePod, status: JSONObject) -> None:
        if all(pod.status.get(key) == value for key, value in status.items()):
            return
        with contextlib.suppress(APIError, ConnectionFailed):  # the next look says it again
            await self._client.patch(
                PODS, pod.name, {"status": status}, namespace=pod.namespace, subresource="status", type="merge"
            )

    def _seat(self, pod: NodePod, running: Mapping[str, Process]) -> None:
        """Take the Pod in: its address, its writer, its runner. Raises `NoAddressError` and `OSError`."""
        assert self._capacity is not None
        spec, now = parse_pod(pod.body), self._clock()
        seats = [tenant.seat for tenant in self._tenants.values() if not tenant.runner.over]
        seat = take_seat(spec, self._machine.pod_dir(pod.uid), self._capacity, seats, now)
        bound = pod.node_name is not None
        life = restore(spec, pod.status, running, now) if bound else PodLife.of(spec)
        writer = PodWriter(self._client, pod.namespace, pod.name, pod.uid)

        def report(status: JSONObject) -> None:
            tenant.status = status
            if runner.over:
                self._look.set()  # its resources are free
            if not self._leaving:
                writer.report(status)

        def tell(event: PodEvent) -> None:
            self._events.put_nowait((pod, event))

        runner = PodRunner(pod.body, life, self._machine, seat, report, tell, self._clock, running)
        tenant = Tenant(spec, seat, runner, writer)
        self._tenants[pod.uid] = tenant
        self._commands.admit(pod.uid, runner)
        if not bound:
            tell(PodEvent("Normal", "Scheduled", f"The Pod runs on {self._node_name} at {seat.address.host}"))
        if pod.grace_s is not None:
            runner.delete(pod.grace_s)
        stay = self._begin(self._keep(pod, tenant))
        tenant.tasks = [asyncio.create_task(self._write(tenant, bound=bound)), stay]

    def _see_off(self, pod: NodePod) -> None:
        """Nothing of it runs, and only we can let it go."""
        self._begin(PodWriter(self._client, pod.namespace, pod.name, pod.uid).finish())

    def _begin(self, stay: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(stay)
        self._stays.add(task)
        task.add_done_callback(self._stays.discard)
        return task

    async def _write(self, tenant: Tenant, *, bound: bool) -> None:
        if not bound:
            await tenant.writer.bind(self._node_name, _annotations(tenant))
        await tenant.writer.run()

    async def _keep(self, pod: NodePod, tenant: Tenant) -> None:
        """The Pod's whole stay."""
        failed = False
        try:
            await tenant.runner.run()
        except Exception as error:  # a bug of ours in one Pod must not take the others down; it is told loudly
            log.exception("the runner of pod %s failed", pod.name)
            failed = True
            for process in _processes(self._machine.pod_dir(pod.uid)).values():
                process.kill()
            tenant.writer.report(failed_status("NodeAgentError", f"the node agent failed: {error!r}"))
            await tenant.writer.flush(5)
        if self._leaving:
            return
        tenant.tasks[0].cancel()
        del self._tenants[pod.uid]
        self._commands.dismiss(pod.uid)
        remove_pod_files(self._machine.pod_dir(pod.uid))
        self._look.set()
        current = self._current(pod)
        if failed and current and current.grace_s is None:
            return  # nobody has asked it to go: it stays, to be looked at
        await tenant.writer.finish()

    # --- the end ---

    async def _leave(self) -> None:
        """Stop everything, or step aside. Pods stay in the API server: the next start brings them back."""
        self._leaving = True
        if self._stop_grace_s is not None:
            for tenant in self._tenants.values():
                tenant.writer.report(stopped_status(tenant.status, self._clock()))
                tenant.runner.delete(min(self._stop_grace_s, tenant.spec.grace_s))
            stays = [tenant.tasks[1] for tenant in self._tenants.values()]
            if stays:
                await asyncio.wait(stays, timeout=self._stop_grace_s + 5)
            await asyncio.gather(*(tenant.writer.flush(1) for tenant in self._tenants.values()))
            for uid in self._tenants:
                free_memory(self._machine.pod_dir(uid))
        tasks = {task for tenant in self._tenants.values() for task in tenant.tasks} | self._stays
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _processes(pod_dir: Path) -> dict[str, Process]:
    """The processes of a Pod that are still alive, by container."""
    records = {path.parent.name: read_record(path) for path in pod_dir.glob("*/process.json")}
    return {name: Process(record) for name, record in records.items() if record and alive(record)}


def _annotations(tenant: Tenant) -> dict[str, str]:
    """Where the server really is, when it could not have its own port (see `addresses`)."""
    address = tenant.seat.address
    ports = [port for container in tenant.spec.containers for port in container.ports]
    if not address.ports or not ports:
        return {}
    return {"model-pod-ip": address.host, "model-pod-port": str(address.port(ports[0]))}


def _clock() -> Clock:
    """Wall time that never jumps: it is read once and then runs with the loop."""
    loop = asyncio.get_running_loop()
    started, at = datetime.now(UTC), loop.time()
    return lambda: started + timedelta(seconds=loop.time() - at)
