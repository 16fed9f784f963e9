"""What surrounds the operator under measurement: Models, a node that makes Pods ready, and one model server for all.

The clock is this process's; every moment is taken when a watch of this process shows a change.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from kubeai.api.k8s.objects import Pod
from kubeai.api.k8s.resources import MODELS, PODS
from kubeai.api.model import Model
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError
from kubeai.kube.informer import Informer
from kubeai.planning.names import MODEL_LABEL

DEADLINE_S = 300.0
_READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "podIP": "127.0.0.1"}
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


def model(name: str, port: int, **spec: Any) -> dict[str, Any]:
    """A Model whose Pods' requests arrive at this process."""
    annotations = {"model-pod-ip": "127.0.0.1", "model-pod-port": str(port)}
    base = {"url": "hf://org/name", "engine": "VLLM", "features": ["TextGeneration"], "resourceProfile": "cpu:1"}
    return {
        "apiVersion": MODELS.api_version,
        "kind": MODELS.kind,
        "metadata": {"name": name, "annotations": annotations},
        "spec": {**base, "minReplicas": 1, "maxReplicas": 10, "scaleDownDelaySeconds": 3600, **spec},
    }


class Server(asyncio.Protocol):
    """A model server in its barest form: it notes when a request arrives."""

    def __init__(self, arrivals: list[float]) -> None:
        self._arrivals = arrivals

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._arrivals.append(time.perf_counter())
        self._transport.write(_ANSWER)


class World:
    """Models and Pods as they are now, and the node."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.pods: Informer[Pod] = Informer(client, PODS, msgspec.json.Decoder(Pod).decode)
        self.models: Informer[Model] = Informer(client, MODELS, Model.model_validate_json)
        #: uid of a Pod -> when it was first seen. Not by name: that comes again.
        self.seen: dict[str, float] = {}
        #: uid of a Pod -> when its readiness was sent to the API server.
        self.made_ready: dict[str, float] = {}
        self.arrivals: list[float] = []
        self.port = 0
        #: The API server is asked by this many at once at the most: a node's queries are limited, too.
        self._turns = asyncio.Semaphore(16)
        self._tasks: set[asyncio.Task[None]] = set()

    def pods_of(self, name: str) -> list[Pod]:
        return [pod for pod in self.pods.all() if pod.labels.get(MODEL_LABEL) == name and not pod.terminating]

    async def settled(self, replicas: int) -> None:
        """Until as many Pods are ready, no other is there, and every Model says that it is done."""
        await self.pods.wait_for(lambda: sum(pod.ready for pod in self.pods.all()) == len(self.pods.all()) == replicas)
        await self.models.wait_for(lambda: all(_content(model) for model in self.models.all()))

    def _on_pod(self, old: Pod | None, new: Pod | None) -> None:
        if new is None:
            return
        self.seen.setdefault(new.uid, time.perf_counter())
        if new.terminating or not new.ready:
            task = asyncio.create_task(self._play_node(new))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _play_node(self, pod: Pod) -> None:
        async with self._turns:
            try:
                if pod.terminating:
                    await self.client.delete(PODS, pod.name, uid=pod.uid, grace_period_s=0)
                else:
                    self.made_ready[pod.uid] = time.perf_counter()
                    await self.client.patch(PODS, pod.name, {"status": _READY}, subresource="status")
            except APIError as error:
                if not error.not_found:
                    raise


def _content(model: Model) -> bool:
    progressing = model.condition("Progressing")
    return (
        progressing is not None
        and progressing.status == "False"
        and progressing.observed_generation == model.metadata.generation
        and (model.status.replicas.all if model.status.replicas else 0) == (model.spec.replicas or 0)
    )


@asynccontextmanager
async def world(client: Client) -> AsyncIterator[World]:
    """A world that turns while the block runs."""
    turning = World(client)
    turning.pods.on_change(turning._on_pod)
    server = await asyncio.get_running_loop().create_server(lambda: Server(turning.arrivals), "127.0.0.1", 0)
    turning.port = server.sockets[0].getsockname()[1]
    tasks = [asyncio.create_task(informer.run()) for informer in (turning.pods, turning.models)]
    try:
        await turning.pods.wait_synced()
        await turning.models.wait_synced()
        yield turning
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
