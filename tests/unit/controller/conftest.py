"""A controller over a cluster in memory, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from kubeai.api.k8s.objects import ConfigMap, Job, PersistentVolumeClaim, Pod
from kubeai.api.k8s.resources import CONFIG_MAPS, JOBS, MODELS, PERSISTENT_VOLUME_CLAIMS, PODS
from kubeai.api.model import Model
from kubeai.config.system import System
from kubeai.controller.loop import Controller
from kubeai.kube.events import EventRecorder
from kubeai.kube.informer import Informer
from kubeai.planning.draining import Loads
from kubeai.telemetry.registry import Metrics
from tests.builders import NOW, system
from tests.unit.controller.fake_cluster import FakeCluster

JSON = dict[str, Any]


def manifest(name: str = "m", *, metadata: JSON | None = None, **spec: Any) -> JSON:
    """A Model that needs no upkeep, so that tests see only what they are about."""
    labels = {"features.kubeai.org/TextGeneration": "true"}
    spec = {"url": "hf://o/m", "engine": "VLLM", "features": ["TextGeneration"], "replicas": 0} | spec
    return {"metadata": {"name": name, "labels": labels} | (metadata or {}), "spec": spec}


@dataclass
class Gateways:
    """What the gateways would say of their requests in flight."""

    loads: Loads = field(default_factory=lambda: Loads(complete=True))
    #: How often they were asked.
    asked: int = 0
    delay_s: float = 0.0

    async def read(self, key: tuple[str, str]) -> Loads:
        self.asked += 1
        await asyncio.sleep(self.delay_s)
        return self.loads


@dataclass
class Running:
    cluster: FakeCluster
    metrics: Metrics
    gateways: Gateways

    async def settle(self, seconds: float = 0.2) -> None:
        """Let everything that is about to happen happen; time is virtual."""
        await asyncio.sleep(seconds)

    def pods(self) -> list[JSON]:
        return [pod for pod in self.cluster.of(PODS) if "deletionTimestamp" not in pod["metadata"]]

    def condition(self, type: str = "Ready", name: str = "m") -> tuple[str, str, str]:
        conditions = self.cluster.get(MODELS, name)["status"]["conditions"]
        found = next(c for c in conditions if c["type"] == type)
        return found["status"], found["reason"], found["message"]

    def make_ready(self, name: str | None = None) -> None:
        for pod in self.pods():
            if name in (None, pod["metadata"]["name"]):
                ready = {"type": "Ready", "status": "True"}
                status = {"phase": "Running", "podIP": "10.0.0.1", "conditions": [ready]}
                self.cluster.put(PODS, pod | {"spec": pod["spec"] | {"nodeName": "n"}, "status": status})

    def finish_deletions(self) -> None:
        for pod in list(self.cluster.of(PODS)):
            if "deletionTimestamp" in pod["metadata"]:
                self.cluster.remove(PODS, pod["metadata"]["name"])

    def reconciles(self, result: str) -> float:
        return self.metrics.reconciles.labels(result).value


@asynccontextmanager
async def running(cluster: FakeCluster, config: System | None = None) -> AsyncIterator[Running]:
    client, metrics, gateways = cluster.client(), Metrics(CollectorRegistry()), Gateways()
    models: Informer[Model] = Informer(client, MODELS, Model.model_validate_json)
    pods: Informer[Pod] = Informer(client, PODS, msgspec.json.Decoder(Pod).decode)
    jobs: Informer[Job] = Informer(client, JOBS, msgspec.json.Decoder(Job).decode)
    claims = Informer(client, PERSISTENT_VOLUME_CLAIMS, msgspec.json.Decoder(PersistentVolumeClaim).decode)
    config_maps = Informer(client, CONFIG_MAPS, msgspec.json.Decoder(ConfigMap).decode)
    loop = asyncio.get_running_loop()
    controller = Controller(
        client,
        config or system(),
        models,
        pods,
        jobs,
        claims,
        config_maps,
        EventRecorder(client, "test", "test"),
        metrics,
        gateways,
        clock=lambda: NOW + timedelta(seconds=loop.time()),
    )
    tasks = [asyncio.create_task(i.run()) for i in (models, pods, jobs, claims, config_maps)]
    tasks.append(asyncio.create_task(controller.run()))
    try:
        yield Running(cluster, metrics, gateways)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
