"""Whether the operator's cost for one Model stays the same while their number grows to 1,000 Models and 5,000 Pods.

At each size: a change to one Model in steady state, the memory, what a new leader does with Models that need nothing
(no write at all), and how long a list of everything keeps the event loop from its other work.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.chart import line_chart
from benchmarks.control_plane.manager import Manager, manager
from benchmarks.control_plane.world import World, model, world
from benchmarks.tables import Figure, p99, show, single
from kubeai.api.k8s.resources import MODELS
from kubeai.app.serving import collect_rarely
from kubeai.app.wiring import ControlPlane
from kubeai.config.load import parse_system
from kubeai.kube.client import Client
from kubeai.kube.kubeconfig import load_kubeconfig
from kubeai.telemetry.registry import Metrics

SIZES = (100, 300, 1000)
REPLICAS = 5
EDITS = 40
#: Models are created this many at a time.
BATCH = 20
DEADLINE_S = 900.0
#: Long enough that a slow round of the autoscaler is in it.
QUIET_S = 15.0


@dataclass
class Figures:
    """What was measured at one size."""

    models: int
    edits_ms: list[float] = field(default_factory=list)
    edit_cpu_ms: float = 0.0
    memory_mb: float = 0.0
    leader_cpu_s: float = 0.0
    writes: int = 0
    list_cpu_s: float = 0.0
    longest_block_ms: float = 0.0

    def table(self) -> list[Figure]:
        return [
            Figure("a change to one Model -> its new Pod seen", self.edits_ms, "ms", 100),
            single("the operator's CPU time for it, to the last old Pod's end", self.edit_cpu_ms, "ms"),
            single("memory", self.memory_mb, "MB resident", 300),
            single("a new leader's CPU time, its start included", self.leader_cpu_s, "s"),
            single("writes that it made", self.writes, "objects", 0),
            single("a list of everything: CPU time of the loop", self.list_cpu_s, "s", 2),
            single("the longest turn of the loop meanwhile", self.longest_block_ms, "ms of CPU time", 50),
        ]


async def _grow(around: World, count: int) -> None:
    """As many Models as that, each with REPLICAS ready Pods."""
    names = [f"m{index}" for index in range(len(around.models.all()), count)]
    for start in range(0, len(names), BATCH):
        async with asyncio.TaskGroup() as group:
            for name in names[start : start + BATCH]:
                group.create_task(around.client.create(MODELS, model(name, around.port, minReplicas=REPLICAS)))
    await around.models.wait_for(lambda: len(around.models.all()) == count)
    await around.settled(count * REPLICAS)


async def _edit(around: World, running: Manager, figures: Figures) -> None:
    """Change one Model after the other, and let each finish: five new Pods, five that go."""
    await asyncio.sleep(2)  # past the work of growing
    cpu = running.cpu_s()
    for index in range(EDITS):
        name = f"m{index}"
        before = {pod.uid for pod in around.pods_of(name)}
        sent = time.perf_counter()
        await around.client.patch(MODELS, name, {"spec": {"args": [f"--edited={sent}"]}})

        def new(name: str = name, before: set[str] = before) -> list[str]:
            return [pod.uid for pod in around.pods_of(name) if pod.uid not in before]

        await around.pods.wait_for(lambda new=new: bool(new()))  # type: ignore[misc]
        figures.edits_ms.append((min(around.seen[pod] for pod in new()) - sent) * 1000)
        await around.settled(figures.models * REPLICAS)
    figures.edit_cpu_ms = (running.cpu_s() - cpu) / EDITS * 1000
    figures.memory_mb = running.memory_mb()


def _versions(around: World) -> dict[str, str | None]:
    objects = [*around.models.all(), *around.pods.all()]
    return {obj.uid: obj.metadata.resource_version for obj in objects}


async def _lead_anew(around: World, kubeconfig: Path, directory: Path, figures: Figures) -> None:
    """Another manager takes over a cluster in which all is as it should be."""
    before = _versions(around)
    with manager(kubeconfig, directory) as running:
        await asyncio.sleep(QUIET_S)
        figures.leader_cpu_s = running.cpu_s()
        running.stop()
    after = _versions(around)
    figures.writes = sum(1 for uid in before.keys() | after.keys() if before.get(uid) != after.get(uid))


class _Turns:
    """Notes the longest turn of the loop, in CPU time: what others do on this machine is not the loop's fault."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._last = time.thread_time()
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        now = time.thread_time()
        self.longest_s = max(self.longest_s, now - self._last)
        self._last = now
        self._handle = self._loop.call_later(0.001, self._turn)

    def stop(self) -> None:
        self._handle.cancel()


@contextmanager
def _turns() -> Iterator[_Turns]:
    turns = _Turns()
    try:
        yield turns
    finally:
        turns.stop()


async def _list_everything(kubeconfig: Path, figures: Figures) -> None:
    """The whole control plane in this process: from nothing to caches that have synced and been acted upon."""
    system = parse_system(
        {
            "modelAutoscaling": {"stateConfigMapName": "state"},
            "allowPodAddressOverride": True,
            "resourceProfiles": {"cpu": {"requests": {"cpu": "1m"}}},
            "fixedSelfMetricAddrs": ["127.0.0.1:1"],
        },
        "benchmark",
    )
    gc.collect()  # what the rounds before have left behind is not the program's
    gc.freeze()
    collect_rarely()  # as the program does
    async with Client(load_kubeconfig(kubeconfig)) as client:
        plane = ControlPlane(client, system, Metrics(), instance="benchmark")
        cpu = time.thread_time()
        with _turns() as turns:
            running = asyncio.create_task(plane.follow())
            await plane.wait_ready()
        figures.list_cpu_s = time.thread_time() - cpu
        figures.longest_block_ms = turns.longest_s * 1000
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _measure(kubeconfig: Path, directory: Path) -> list[Figures]:
    measured: list[Figures] = []
    for size in SIZES:
        figures = Figures(size)
        async with (
            asyncio.timeout(DEADLINE_S),
            Client(load_kubeconfig(kubeconfig)) as client,
            world(client) as around,
        ):
            with manager(kubeconfig, directory) as running:
                await _grow(around, size)
                await _edit(around, running, figures)
                running.stop()
            await _lead_anew(around, kubeconfig, directory, figures)
        await _list_everything(kubeconfig, figures)
        print(f"\n{size} Models, {size * REPLICAS} Pods")
        show(figures.table())
        measured.append(figures)
    return measured


def picture(measured: dict[str, list[Figures]]) -> str:
    """Cost of one change over the number of Models: flat is right."""
    lines = {}
    for kind, figures in measured.items():
        lines[f"{kind}, CPU time"] = [(f.models, f.edit_cpu_ms) for f in figures]
        lines[f"{kind}, Pod seen p99"] = [(f.models, p99(f.edits_ms)) for f in figures]
    title = f"One changed Model among many, {REPLICAS} Pods each"
    return line_chart(title, "Models", "milliseconds", lines)


def measure(kubeconfig: Path, directory: Path) -> list[Figures]:
    """All sizes, on this API server."""
    return asyncio.run(_measure(kubeconfig, directory))
