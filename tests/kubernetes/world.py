"""What tests of whole processes have around them: a model server, a view of the cluster, and KubeAI's own Pods.

There is no node: the test plays the kubelet, and is the model server, too.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from kubeai.api.k8s.objects import ConfigMap, Pod
from kubeai.api.k8s.resources import CONFIG_MAPS, MODELS, PODS
from kubeai.api.model import Model
from kubeai.kube.client import Client
from kubeai.kube.informer import Informer
from tests.scenarios.kubelet import Kubelet

DEADLINE_S = 60


class Engine:
    """A model server that answers when it is told to."""

    def __init__(self) -> None:
        self.annotations: dict[str, str] = {}
        self.may_answer = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        app = web.Application()
        app.add_routes([web.post("/v1/chat/completions", self._answer)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.annotations = {"model-pod-ip": "127.0.0.1", "model-pod-port": str(runner.addresses[0][1])}
        try:
            yield
        finally:
            await runner.cleanup()

    async def _answer(self, _: web.Request) -> web.Response:
        await self.may_answer.wait()
        return web.json_response({"choices": []})


class World:
    """What is to be seen from outside."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.models: Informer[Model] = Informer(client, MODELS, Model.model_validate_json)
        self.states: Informer[ConfigMap] = Informer(client, CONFIG_MAPS, msgspec.json.Decoder(ConfigMap).decode)
        self.pods: Informer[Pod] = Informer(client, PODS, msgspec.json.Decoder(Pod).decode, labels="app=model")
        #: All that Model `m` was scaled to.
        self.scalings: list[int | None] = []
        #: How often Model `idle` was put to sleep: it does not stay awake for long enough to be seen so in the cache.
        self.naps = 0
        self.models.on_change(self._on_model)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        parts = (self.models.run(), self.states.run(), self.pods.run(), Kubelet(self.client, self.pods).run())
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def until(self, informer: Informer[Any], holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await informer.wait_for(holds)

    def average(self) -> float | None:
        """What the leader has saved of Model `m`."""
        state = self.states.get(self.client.namespace, "state")
        if state is None or not state.data:
            return None
        models = json.loads(state.data["models"])["models"]
        return float(models["m"]["averageActiveRequests"]) if "m" in models else None

    async def rounds(self, count: int) -> None:
        """Wait until the autoscaler has acted that often: each time it has an idle Model to put to sleep."""
        for nap in range(self.naps + 1, self.naps + count + 1):
            await self.client.patch(MODELS, "idle", {"spec": {"replicas": 1}}, subresource="scale")
            await self.until(self.models, lambda nap=nap: self.naps == nap)  # type: ignore[misc]

    def replicas(self, name: str) -> int | None:
        model = self.models.get(self.client.namespace, name)
        return model.spec.replicas if model else None

    def _on_model(self, old: Model | None, new: Model | None) -> None:
        if new is None or (old is not None and old.spec.replicas == new.spec.replicas):
            return
        if new.name == "m":
            self.scalings.append(new.spec.replicas)
        elif new.name == "idle" and old is not None and new.spec.replicas == 0:
            self.naps += 1


async def pod_of_kubeai(client: Client, name: str, address: str, **labels: str) -> None:
    labels = {"app.kubernetes.io/name": "kubeai"} | labels
    spec = {"containers": [{"name": "kubeai", "image": "kubeai"}], "automountServiceAccountToken": False}
    await client.create(PODS, {"metadata": {"name": name, "labels": labels}, "spec": spec})
    status = {"phase": "Running", "podIP": address, "conditions": [{"type": "Ready", "status": "True"}]}
    await client.patch(PODS, name, {"status": status}, subresource="status")


async def chat(url: str, http: aiohttp.ClientSession) -> int:
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    async with http.post(f"{url}/openai/v1/chat/completions", json=body) as answer:
        return answer.status


def free_port(address: str = "127.0.0.1") -> int:
    with socket.create_server((address, 0)) as server:
        return int(server.getsockname()[1])
