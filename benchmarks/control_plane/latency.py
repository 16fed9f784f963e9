"""How fast the operator acts with 200 Models, and what it costs while nothing happens.

python -m benchmarks operator             on a real kube-apiserver, and on the embedded one
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp

from benchmarks.control_plane.manager import Manager, manager
from benchmarks.control_plane.world import DEADLINE_S, World, model, world
from benchmarks.tables import Figure, single
from kubeai.api.k8s.resources import MODELS
from kubeai.kube.client import Client
from kubeai.kube.kubeconfig import load_kubeconfig

MODEL_COUNT = 200
ROUNDS = 100
STARTS = 5
IDLE_S = 30.0
CHAT = {"model": "sleeper", "messages": [{"role": "user", "content": "Hello"}]}


async def _create_all(around: World, running: Manager) -> list[Figure]:
    """MODEL_COUNT Models at once, each with one replica."""
    cpu, start = running.cpu_s(), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for index in range(MODEL_COUNT):
            group.create_task(around.client.create(MODELS, model(f"m{index}", around.port)))
    await around.pods.wait_for(lambda: len(around.pods.all()) == MODEL_COUNT)
    seen_s = time.perf_counter() - start
    await around.settled(MODEL_COUNT)
    ready_s = time.perf_counter() - start
    return [
        single(f"{MODEL_COUNT} new Models -> {MODEL_COUNT} Pods seen", seen_s, "s", 10),
        single(f"{MODEL_COUNT} new Models -> all ready and reported", ready_s, "s"),
        single("the operator's CPU time for these", running.cpu_s() - cpu, "s"),
    ]


async def _edits(around: World) -> list[Figure]:
    """One Model after the other gets another argument; its new Pod is waited for, and the old one's end."""
    to_pod: list[float] = []
    for index in range(ROUNDS):
        name = f"m{index}"
        before = {pod.uid for pod in around.pods_of(name)}
        sent = time.perf_counter()
        await around.client.patch(MODELS, name, {"spec": {"args": [f"--edited={sent}"]}})
        await around.pods.wait_for(lambda name=name, before=before: _new(around, name, before))  # type: ignore[misc]
        (pod,) = _new(around, name, before)
        to_pod.append((around.seen[pod] - sent) * 1000)
        await around.settled(MODEL_COUNT)
    return [Figure(f"a change to one of {MODEL_COUNT} Models -> its new Pod seen", to_pod, "ms", 60)]


def _new(around: World, name: str, before: set[str]) -> list[str]:
    return [pod.uid for pod in around.pods_of(name) if pod.uid not in before]


async def _wakes(around: World, running: Manager) -> list[Figure]:
    """A request meets its Model at zero, again and again."""
    to_pod: list[float] = []
    to_server: list[float] = []
    await around.client.create(MODELS, model("sleeper", around.port, minReplicas=0))
    async with aiohttp.ClientSession() as http:
        await _known(http, running)
        for _ in range(ROUNDS):
            await around.settled(MODEL_COUNT)
            around.arrivals.clear()
            sent = time.perf_counter()
            async with http.post(f"{running.url}/openai/v1/chat/completions", json=CHAT) as answer:
                answer.raise_for_status()
            (pod,) = around.pods_of("sleeper")
            to_pod.append((around.seen[pod.uid] - sent) * 1000)
            to_server.append((around.arrivals[0] - around.made_ready[pod.uid]) * 1000)
            await around.client.patch(MODELS, "sleeper", {"spec": {"replicas": 0}})
    await around.client.delete(MODELS, "sleeper")
    return [
        Figure("a request at zero -> its Pod seen", to_pod, "ms", 50),
        Figure("the Pod's readiness sent -> the request at the server", to_server, "ms", 15),
    ]


async def _known(http: aiohttp.ClientSession, running: Manager) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            async with http.get(f"{running.url}/openai/v1/models/{CHAT['model']}") as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.02)


async def _idle(running: Manager) -> list[Figure]:
    await asyncio.sleep(2)  # past the work of the last change
    cpu = running.cpu_s()
    await asyncio.sleep(IDLE_S)
    return [
        single(f"idle CPU with {MODEL_COUNT} Models", (running.cpu_s() - cpu) / IDLE_S * 100, "% of a core", 2),
        single(f"memory with {MODEL_COUNT} Models", running.memory_mb(), "MB resident", 200),
    ]


async def _measure(kubeconfig: Path, running: Manager) -> list[Figure]:
    async with (
        asyncio.timeout(DEADLINE_S * 2),
        Client(load_kubeconfig(kubeconfig)) as client,
        world(client) as around,
    ):
        return [
            *await _create_all(around, running),
            *await _idle(running),
            *await _edits(around),
            *await _wakes(around, running),
        ]


def measure(kubeconfig: Path, directory: Path) -> list[Figure]:
    """Everything, on this API server, which knows no Models yet."""
    with manager(kubeconfig, directory) as running:
        figures = asyncio.run(_measure(kubeconfig, running))
        running.stop()
    starts: list[float] = []
    stops: list[float] = []
    for _ in range(STARTS):
        with manager(kubeconfig, directory) as running:
            starts.append(running.start_s * 1000)
            stops.append(running.stop() * 1000)
    return [
        *figures,
        Figure(f"start to ready with {MODEL_COUNT} Models", starts, "ms", 1000),
        Figure("SIGTERM to gone", stops, "ms"),
    ]
