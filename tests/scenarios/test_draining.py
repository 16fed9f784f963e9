"""No stream is cut when its Pod goes: two gateways, real sockets, and servers that die with their Pods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from kubeai.api.k8s.objects import Pod
from kubeai.api.k8s.resources import MODELS, PODS
from kubeai.app.wiring import ControlPlane
from kubeai.config.system import System
from kubeai.kube.access import ClusterAccess
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError
from kubeai.planning.names import is_draining
from kubeai.telemetry.registry import Metrics
from tests.builders import model_manifest, system

DEADLINE_S = 60.0


class Server:
    """A Pod's model server: begins each answer at once and ends it when the test says so."""

    def __init__(self) -> None:
        self.streams = 0
        self.go = asyncio.Event()
        app = web.Application()
        app.add_routes([web.post("/v1/chat/completions", self._answer)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)

    async def start(self) -> int:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return int(self._runner.addresses[0][1])

    async def die(self) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.streams += 1
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"first")
        await self.go.wait()
        await answer.write(b",last")
        return answer


class Node:
    """Gives each Pod a server of its own, and kills it the moment that the Pod is deleted."""

    def __init__(self, client: Client, plane: ControlPlane) -> None:
        self._client = client
        self._pods = plane.pods
        #: Pod's uid -> its server; a Pod that is gone keeps its entry.
        self.servers: dict[str, Server] = {}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:

            def on_pod(old: Pod | None, new: Pod | None) -> None:
                if new is not None and (new.terminating or new.uid not in self.servers):
                    group.create_task(self._end(new) if new.terminating else self._begin(new))

            self._pods.on_change(on_pod)
            await asyncio.Event().wait()

    async def _begin(self, pod: Pod) -> None:
        self.servers[pod.uid] = server = Server()
        where = {"model-pod-ip": "127.0.0.1", "model-pod-port": str(await server.start())}
        ready = {"phase": "Running", "podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
        await self._client.patch(PODS, pod.name, {"metadata": {"annotations": where}})
        await self._client.patch(PODS, pod.name, {"status": ready}, subresource="status")

    async def _end(self, pod: Pod) -> None:
        if pod.uid in self.servers:
            await self.servers[pod.uid].die()
        try:
            await self._client.delete(PODS, pod.name, uid=pod.uid, grace_period_s=0)
        except APIError as error:
            if not error.not_found:
                raise


class Stream:
    """A client in the midst of an answer."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def rest(self) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            return await self._answer.read()


class World:
    def __init__(self, client: Client, planes: list[ControlPlane], http: aiohttp.ClientSession) -> None:
        self.client = client
        self.planes = planes
        self.node = Node(client, planes[0])
        self._http = http
        self._changed = asyncio.Event()
        for plane in planes:
            plane.pods.on_change(lambda old, new: self._changed.set())

    def pods(self) -> dict[str, Pod]:
        return {pod.name: pod for pod in self.planes[0].pods.all()}

    def draining(self) -> list[str]:
        """Pods of which all gateways know that they drain."""
        known = [{pod.name for pod in plane.pods.all() if is_draining(pod)} for plane in self.planes]
        return sorted(set.intersection(*known))

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def serve(self, **spec: Any) -> None:
        await self.client.create(MODELS, model_manifest(**spec))
        ready = [spec["replicas"]] * len(self.planes)
        await self.until(lambda: [sum(pod.ready for pod in plane.pods.all()) for plane in self.planes] == ready)

    async def stream(self, gateway: int = 0) -> Stream:
        url = f"http://127.0.0.1:{self.planes[gateway].gateway.port}/openai/v1/chat/completions"
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
        async with asyncio.timeout(DEADLINE_S):
            answer = await self._http.post(url, json=body)
            assert (answer.status, await answer.content.readexactly(5)) == (200, b"first")
            return Stream(answer)

    def finish(self) -> None:
        for server in self.node.servers.values():
            server.go.set()

    def streams(self) -> dict[str, int]:
        return {pod.name: self.node.servers[pod.uid].streams for pod in self.pods().values()}


@asynccontextmanager
async def kubeai(access: ClusterAccess, own: ClusterAccess, config: System) -> AsyncIterator[World]:
    """Two managers, of which the first leads."""
    planes: list[ControlPlane] = []
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client(access))
        kubeais = await stack.enter_async_context(Client(own))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        tasks = []
        for number in range(2):
            plane = ControlPlane(
                kubeais,
                config,
                Metrics(CollectorRegistry()),
                instance=f"test-{number}",
                metric_addresses=lambda: [f"127.0.0.1:{plane.gateway.port}" for plane in planes],
            )
            await plane.gateway.start("127.0.0.1", 0)
            planes.append(plane)
            tasks.append(asyncio.create_task(plane.follow() if planes[1:] else plane.run()))
        world = World(client, planes, http)
        tasks.append(asyncio.create_task(world.node.run()))
        try:
            for plane in planes:
                await plane.wait_ready()
            yield world
        finally:
            world.finish()
            for plane in planes:
                await plane.gateway.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for server in world.node.servers.values():
                await server.die()


def config(**rollouts: Any) -> System:
    return system(allowPodAddressOverride=True, modelRollouts=rollouts)


async def test_streams_through_any_gateway_survive_a_scale_down(
    access: ClusterAccess, own_access: ClusterAccess
) -> None:
    # fault P3
    async with kubeai(access, own_access, config()) as world:
        await world.serve(replicas=2)
        streams = [await world.stream(gateway) for gateway in (0, 1, 1)]
        least = min(world.streams().items(), key=lambda item: item[1])[0]
        await world.client.patch(MODELS, "m", {"spec": {"replicas": 1}}, subresource="scale")
        await world.until(lambda: world.draining() == [least])
        before = world.streams()
        later = [await world.stream(gateway) for gateway in (0, 1)]
        assert world.streams()[least] == before[least], "a Pod that drains got a request"
        assert least in world.pods()
        world.finish()
        assert [await stream.rest() for stream in (*streams, *later)] == [b",last"] * 5
        await world.until(lambda: least not in world.pods())


@pytest.mark.parametrize("surge", [0, 1])
async def test_streams_survive_a_rollout(access: ClusterAccess, own_access: ClusterAccess, surge: int) -> None:
    # fault P3
    async with kubeai(access, own_access, config(surge=surge)) as world:
        await world.serve(replicas=2)
        old = set(world.pods())
        streams = [await world.stream(gateway) for gateway in (0, 1, 0, 1)]
        await world.client.patch(MODELS, "m", {"spec": {"args": ["--new"]}})
        await world.until(lambda: bool(world.draining()))
        assert old <= set(world.pods())
        world.finish()
        assert [await stream.rest() for stream in streams] == [b",last"] * 4
        await world.until(lambda: not old & set(world.pods()) and len(world.pods()) == 2)


async def test_a_gateway_that_is_gone_holds_nobody_longer_than_the_time_out(
    access: ClusterAccess, own_access: ClusterAccess
) -> None:
    # fault P3
    async with kubeai(access, own_access, config(drainTimeout="1s")) as world:
        await world.serve(replicas=1)
        await world.planes[1].gateway.close()
        await world.client.patch(MODELS, "m", {"spec": {"replicas": 0}}, subresource="scale")
        await world.until(lambda: bool(world.draining()))
        await world.until(lambda: not world.pods())


async def test_running_requests_of_a_pod_that_others_delete_go_on_as_long_as_its_server_lives(
    access: ClusterAccess,
    own_access: ClusterAccess,
) -> None:
    # fault P2
    async with kubeai(access, own_access, config()) as world:
        await world.serve(replicas=1)
        (old,) = world.pods().values()
        stream = await world.stream()
        await world.client.delete(PODS, old.name)
        await world.until(lambda: [pod.ready for pod in world.pods().values() if pod.uid != old.uid] == [True])
        world.finish()
        assert await stream.rest() == b",last"
