"""The operator on an API server: a Model's life, with this test as the node.

The same steps as in the unit tests, but over real HTTP, real watches, real validation and real garbage collection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from kubeai.api.k8s.objects import ConfigMap, Job, PersistentVolumeClaim, Pod
from kubeai.api.k8s.resources import CONFIG_MAPS, EVENTS, JOBS, MODELS, PERSISTENT_VOLUME_CLAIMS, PODS
from kubeai.api.model import Model
from kubeai.controller.loop import Controller
from kubeai.kube.access import ClusterAccess
from kubeai.kube.client import Client
from kubeai.kube.events import EventRecorder
from kubeai.kube.informer import Informer
from kubeai.planning.draining import Loads
from kubeai.telemetry.registry import Metrics
from tests.builders import system

from .kubelet import Kubelet

JSON = dict[str, Any]
#: The garbage collector of a real server looks for new kinds, such as Model, every half a minute.
DEADLINE_S = 60.0


class NoGateways:
    """Nobody sends requests."""

    async def read(self, key: tuple[str, str]) -> Loads:
        return Loads(complete=True)


class Cluster:
    """What the tests see: the API, and the caches that tell when something has come about."""

    def __init__(self, client: Client, operators: Client) -> None:
        self.client = client
        self.models: Informer[Model] = Informer(operators, MODELS, Model.model_validate_json)
        self.pods: Informer[Pod] = Informer(operators, PODS, msgspec.json.Decoder(Pod).decode)
        self.changed = asyncio.Event()
        self.models.on_change(lambda old, new: self.changed.set())
        self.pods.on_change(lambda old, new: self.changed.set())

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not holds():
                self.changed.clear()
                await self.changed.wait()

    def condition(self, type: str = "Ready") -> tuple[str, str]:
        model = self.models.get(self.client.namespace, "m")
        found = model.condition(type) if model else None
        return (found.status, found.reason) if found else ("", "")


@asynccontextmanager
async def operator(access: ClusterAccess, own: ClusterAccess) -> AsyncIterator[Cluster]:
    """`own` is what the operator may do, `access` what the test may."""
    async with Client(access) as admin, Client(own) as client:
        cluster = Cluster(admin, client)
        jobs = Informer(client, JOBS, msgspec.json.Decoder(Job).decode)
        claims = Informer(client, PERSISTENT_VOLUME_CLAIMS, msgspec.json.Decoder(PersistentVolumeClaim).decode)
        config_maps = Informer(client, CONFIG_MAPS, msgspec.json.Decoder(ConfigMap).decode)
        recorder, metrics = EventRecorder(client, "kubeai", "test"), Metrics(CollectorRegistry())
        controller = Controller(
            client, system(), cluster.models, cluster.pods, jobs, claims, config_maps, recorder, metrics, NoGateways()
        )
        running = [i.run() for i in (cluster.models, cluster.pods, jobs, claims, config_maps)]
        tasks = [asyncio.create_task(task) for task in (*running, controller.run(), Kubelet(admin, cluster.pods).run())]
        try:
            yield cluster
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def manifest(**spec: Any) -> JSON:
    spec = {"url": "hf://o/m", "engine": "VLLM", "features": ["TextGeneration"]} | spec
    return {"apiVersion": "kubeai.org/v1", "kind": "Model", "metadata": {"name": "m"}, "spec": spec}


async def test_a_model_lives(access: ClusterAccess, own_access: ClusterAccess) -> None:
    async with operator(access, own_access) as cluster:
        await cluster.client.create(MODELS, manifest(files=[{"path": "/a", "content": "x"}]))
        await cluster.until(lambda: cluster.condition() == ("False", "ScaledToZero"))

        await cluster.client.patch(MODELS, "m", {"spec": {"replicas": 2}}, subresource="scale")
        await cluster.until(lambda: cluster.condition() == ("True", "Ready"))
        await cluster.until(lambda: cluster.condition("Progressing") == ("False", "Complete"))
        model = await cluster.client.get(MODELS, "m")
        assert model["status"]["replicas"] == {"all": 2, "ready": 2}
        assert model["metadata"]["labels"] == {"features.kubeai.org/TextGeneration": "true"}
        assert (await cluster.client.get(CONFIG_MAPS, "model-m-files"))["data"] == {"_a": "x"}

        before = {pod.name for pod in cluster.pods.all()}
        await cluster.client.patch(MODELS, "m", {"spec": {"args": ["--new"]}})
        await cluster.until(
            lambda: (
                not before & {pod.name for pod in cluster.pods.all()}
                and cluster.condition("Progressing") == ("False", "Complete")
            )
        )
        assert len(cluster.pods.all()) == 2

        await cluster.client.patch(MODELS, "m", {"spec": {"replicas": 0}}, subresource="scale")
        await cluster.until(lambda: not cluster.pods.all() and cluster.condition() == ("False", "ScaledToZero"))

        await cluster.client.patch(MODELS, "m", {"spec": {"replicas": 1}}, subresource="scale")
        await cluster.until(lambda: cluster.condition() == ("True", "Ready"))
        await cluster.client.delete(MODELS, "m")
        await cluster.until(lambda: not cluster.pods.all() and not cluster.models.all())
        told = {event["reason"] for event in await cluster.client.list(EVENTS)}
        assert {"ScaledToZero", "PodsCreated", "PodsDeleted", "Ready"} <= told


async def test_a_mistake_is_told_and_mended_by_an_edit(access: ClusterAccess, own_access: ClusterAccess) -> None:
    async with operator(access, own_access) as cluster:
        await cluster.client.create(MODELS, manifest(minReplicas=1, resourceProfile="gpu:1"))
        await cluster.until(lambda: cluster.condition() == ("False", "UnknownResourceProfile"))
        await cluster.client.patch(MODELS, "m", {"spec": {"resourceProfile": "cpu:1"}})
        await cluster.until(lambda: cluster.condition() == ("True", "Ready"))


async def test_when_all_is_quiet_nothing_is_written(access: ClusterAccess, own_access: ClusterAccess) -> None:
    # fault O6
    async with operator(access, own_access) as cluster:
        await cluster.client.create(MODELS, manifest(minReplicas=1))
        await cluster.until(lambda: cluster.condition("Progressing") == ("False", "Complete"))
        model = await cluster.client.patch(MODELS, "m", {"metadata": {"annotations": {"a": "1"}}})
        version = model["metadata"]["resourceVersion"]
        # Another Model's whole start is time enough for a write that should not be.
        other = manifest(minReplicas=1)
        other["metadata"]["name"] = "other"
        await cluster.client.create(MODELS, other)
        await cluster.until(lambda: any(m.name == "other" and m.condition("Ready") for m in cluster.models.all()))
        assert (await cluster.client.get(MODELS, "m"))["metadata"]["resourceVersion"] == version
