"""All of KubeAI as one control plane, with this test as the node and the model server: from a request to an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry

from kubeai.api.k8s.resources import EVENTS, MODELS, PODS
from kubeai.api.model import Model, ModelCondition
from kubeai.app.wiring import ControlPlane
from kubeai.config.system import System
from kubeai.kube.access import ClusterAccess
from kubeai.kube.client import Client
from kubeai.planning.pods.build import build_pod
from kubeai.telemetry.registry import Metrics
from tests.builders import model_manifest, system

from .kubelet import Kubelet

#: The garbage collector of a real server looks for new kinds, such as Model, every half a minute.
DEADLINE_S = 60.0
SYSTEM = system(allowPodAddressOverride=True)


@asynccontextmanager
async def engine() -> AsyncIterator[dict[str, str]]:
    """A model server; gives the annotations that lead to it."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"model": (await request.json())["model"], "choices": []})

    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield {"model-pod-ip": "127.0.0.1", "model-pod-port": str(runner.addresses[0][1])}
    await runner.cleanup()


class World:
    """The control plane over one namespace, and those who use it."""

    def __init__(self, client: Client, plane: ControlPlane, http: aiohttp.ClientSession) -> None:
        self.client = client
        self.plane = plane
        self._http = http
        self._changed = asyncio.Event()
        for informer in (plane.models, plane.pods):
            informer.on_change(lambda old, new: self._changed.set())

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def until_ready(self, status: str, reason: str) -> None:
        await self.until(lambda: (status, reason) in [(c.status, c.reason) for c in self._ready_conditions()])

    async def chat(self, model: str = "m") -> tuple[int, Any]:
        url = f"http://127.0.0.1:{self.plane.gateway.port}/openai/v1/chat/completions"
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
        async with asyncio.timeout(DEADLINE_S), self._http.post(url, json=body) as answer:
            return answer.status, await answer.json()

    async def listed(self) -> list[str]:
        url = f"http://127.0.0.1:{self.plane.gateway.port}/openai/v1/models"
        async with self._http.get(url) as answer:
            return [entry["id"] for entry in (await answer.json())["data"]]

    async def until_told(self, *reasons: str, namespace: str | None = None) -> None:
        """Wait for Events: of what is done it is told afterwards."""
        async with asyncio.timeout(DEADLINE_S):
            while not {*reasons} <= await self._told(namespace):  # noqa: ASYNC110 - nobody watches Events here
                await asyncio.sleep(0.02)

    async def _told(self, namespace: str | None) -> set[str]:
        return {event["reason"] for event in await self.client.list(EVENTS, namespace)}

    async def scale(self, replicas: int) -> None:
        await self.client.patch(MODELS, "m", {"spec": {"replicas": replicas}}, subresource="scale")

    def _ready_conditions(self) -> list[ModelCondition]:
        return [found for model in self.plane.models.all() if (found := model.condition("Ready"))]


@asynccontextmanager
async def kubeai(access: ClusterAccess, own: ClusterAccess, system: System = SYSTEM) -> AsyncIterator[World]:
    """`own` is what KubeAI itself may do, `access` what the test may."""
    async with Client(access) as client, Client(own) as kubeais, aiohttp.ClientSession() as http:
        plane = ControlPlane(kubeais, system, Metrics(CollectorRegistry()), instance="test")
        await plane.gateway.start("127.0.0.1", 0)
        tasks = [asyncio.create_task(part) for part in (plane.run(), Kubelet(client, plane.pods).run())]
        try:
            await plane.wait_ready()
            yield World(client, plane, http)
        finally:
            await plane.gateway.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_request_wakes_a_model_and_is_answered(access: ClusterAccess, own_access: ClusterAccess) -> None:
    async with kubeai(access, own_access) as world, engine() as annotations:
        await world.client.create(MODELS, model_manifest(metadata={"annotations": annotations}))
        await world.until_ready("False", "ScaledToZero")
        assert await world.chat() == (200, {"model": "m", "choices": []})
        await world.until_ready("True", "Ready")
        await world.scale(0)
        await world.until_ready("False", "ScaledToZero")
        await world.until(lambda: not world.plane.pods.all())
        await world.client.delete(MODELS, "m")
        assert (await world.chat())[0] == 404


async def test_a_request_that_comes_with_the_model_is_answered(
    access: ClusterAccess, own_access: ClusterAccess
) -> None:
    # A Model that the operator has not looked at yet has no replicas, and so no scale to turn.
    async with kubeai(access, own_access) as world, engine() as annotations:
        await world.client.create(MODELS, model_manifest(metadata={"annotations": annotations}))
        await world.until(lambda: bool(world.plane.models.all()))
        assert await world.chat() == (200, {"model": "m", "choices": []})


async def test_pods_are_as_they_were_planned(access: ClusterAccess, own_access: ClusterAccess) -> None:
    async with kubeai(access, own_access) as world:
        files = [{"path": "/etc/x", "content": "y"}]
        manifest = model_manifest(minReplicas=1, resourceProfile="cpu:2", env={"A": "b"}, files=files)
        made = await world.client.create(MODELS, manifest)
        await world.until_ready("True", "Ready")
        (pod,) = await world.client.list(PODS)
        planned = build_pod(Model.model_validate(made), SYSTEM)
        assert missing(planned["spec"], pod["spec"]) == []
        assert planned["metadata"]["labels"].items() <= pod["metadata"]["labels"].items()
        (owner,) = pod["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"]) == (made["metadata"]["uid"], True)


async def test_a_deleted_model_takes_its_pods_along(access: ClusterAccess, own_access: ClusterAccess) -> None:
    async with kubeai(access, own_access) as world:
        await world.client.create(MODELS, model_manifest(minReplicas=2))
        await world.until_ready("True", "Ready")
        await world.client.delete(MODELS, "m")
        await world.until(lambda: not world.plane.pods.all())
        await world.until_told("PodsCreated", "Ready")


async def test_models_of_watched_namespaces_are_served_by_their_own_names(
    access: ClusterAccess, second_access: ClusterAccess
) -> None:
    other = second_access.namespace
    watching = system(allowPodAddressOverride=True, watchNamespaces=[other])
    async with kubeai(access, access, watching) as world, engine() as annotations:
        for namespace in (access.namespace, other):
            manifest = model_manifest(metadata={"annotations": annotations, "namespace": namespace})
            await world.client.create(MODELS, manifest)
        await world.until(lambda: len(world.plane.models.all()) == 2)
        assert await world.listed() == sorted(["m", f"{other}/m"])
        # The engine knows it by its own name, and only this one is woken.
        assert await world.chat(f"{other}/m") == (200, {"model": "m", "choices": []})
        assert {pod.namespace for pod in world.plane.pods.all()} == {other}
        assert (await world.chat(f"{other}/n"))[0] == 404
        await world.until_told("PodsCreated", namespace=other)


def missing(planned: Any, found: Any, path: str = "spec") -> list[str]:
    """What was planned and is not there as it was. The server may add defaults, and others their own things."""
    if isinstance(planned, Mapping) and isinstance(found, Mapping):
        return [fault for key, value in planned.items() for fault in missing(value, found.get(key), f"{path}.{key}")]
    if isinstance(planned, Sequence) and not isinstance(planned, str) and isinstance(found, Sequence):
        pairs = [(item, found[index] if index < len(found) else None) for index, item in enumerate(planned)]
        return [fault for index, pair in enumerate(pairs) for fault in missing(*pair, f"{path}[{index}]")]
    return [] if planned == found else [f"{path}: {planned!r} is {found!r}"]
