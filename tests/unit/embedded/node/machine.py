"""A small real machine for tests: the embedded API server, the node agent, and eyes on its Pods."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from kubeai.api.k8s.resources import PODS
from kubeai.embedded.apiserver import APIServer
from kubeai.embedded.node.agent import NodeAgent
from kubeai.embedded.node.commands import PodCommands
from kubeai.embedded.node.devices import Capacity
from kubeai.embedded.node.engines import Engines
from kubeai.embedded.node.logs import PodLogs
from kubeai.embedded.node.nodepod import decode_pod
from kubeai.kube.access import token_access
from kubeai.kube.client import Client
from kubeai.kube.informer import Informer
from tests.builders import container, pod_body

JSONObject = dict[str, Any]
DEADLINE_S = 60

#: answers GET / on the Pod's address, as any model server would
SERVE = [sys.executable, "-u", "-m", "http.server", "8000", "--bind", "0.0.0.0"]


def python(code: str) -> list[str]:
    return [sys.executable, "-u", "-c", code]


def web_server(**fields: Any) -> JSONObject:
    probe = {"httpGet": {"path": "/", "port": 8000}, "periodSeconds": 1}
    fields = {"command": SERVE, "ports": [{"containerPort": 8000}], "readinessProbe": probe, **fields}
    return container(**fields)


def manifest(name: str, *containers: JSONObject, **spec: Any) -> JSONObject:
    """A Pod to be created, with a short grace."""
    body = pod_body(name, *containers, **{"terminationGracePeriodSeconds": 5, **spec})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": body["spec"]}


class Machine:
    def __init__(self, client: Client, data_dir: Path, commands: PodCommands) -> None:
        self.client = client
        self.commands = commands
        self.data_dir = data_dir
        self.logs = PodLogs(data_dir)
        self._pods = Informer(client, PODS, decode_pod)
        self._changed = asyncio.Event()
        self._pods.on_change(lambda *_: self._changed.set())

    async def watch(self) -> None:
        await self._pods.run()

    async def create(self, pod: JSONObject) -> str:
        """Create a Pod; returns its uid."""
        return str((await self.client.create(PODS, pod))["metadata"]["uid"])

    async def until(self, name: str, holds: Callable[[JSONObject], Any], deadline_s: float = DEADLINE_S) -> JSONObject:
        """The Pod's status, once `holds` is true of it."""
        async with asyncio.timeout(deadline_s):
            while True:
                self._changed.clear()
                pod = self._pods.get("default", name)
                if pod and holds(pod.status):
                    return pod.status
                await self._changed.wait()

    async def until_ready(self, name: str, deadline_s: float = DEADLINE_S) -> JSONObject:
        return await self.until(name, is_ready, deadline_s)

    async def until_gone(self, name: str) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while self._pods.get("default", name):
                self._changed.clear()
                await self._changed.wait()

    async def log(self, pod: str, uid: str, **options: Any) -> str:
        chunks = self.logs.open("default", pod, uid, "server", **options)
        return b"".join([chunk async for chunk in chunks]).decode()

    @contextlib.asynccontextmanager
    async def agent(self, **options: Any) -> AsyncIterator[NodeAgent]:
        """A node agent that is cancelled at the end."""
        options = {"capacity": Capacity(Decimal(4), 8 << 30), "stop_grace_s": 5, **options}
        agent = NodeAgent(self.client, self.data_dir, engines=Engines(self.data_dir), commands=self.commands, **options)
        task = asyncio.create_task(agent.run())
        try:
            await asyncio.wait_for(agent.wait_settled(), DEADLINE_S)
            yield agent
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@contextlib.asynccontextmanager
async def machine(data_dir: Path) -> AsyncIterator[Machine]:
    commands = PodCommands()
    server = APIServer(data_dir, token="t", logs=PodLogs(data_dir), commands=commands)
    await server.start()
    try:
        async with Client(token_access(server.url, "t")) as client:
            made = Machine(client, data_dir, commands)
            watching = asyncio.create_task(made.watch())
            yield made
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
    finally:
        await server.stop()


def is_ready(status: JSONObject) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())


def server_state(status: JSONObject) -> JSONObject:
    states: Iterator[JSONObject] = (c["state"] for c in status.get("containerStatuses") or ())
    return next(states, {})
