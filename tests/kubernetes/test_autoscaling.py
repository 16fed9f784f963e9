"""The autoscaler in two real managers on a real API server: who leads changes, the replicas do not."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kubeai.api.k8s.resources import MODELS, PODS
from kubeai.kube.access import ClusterAccess
from kubeai.kube.client import Client
from scripts.kubernetes.api_server import APIServer
from tests.builders import model_manifest

from .manager import Manager, manager
from .world import Engine, World, chat, free_port, pod_of_kubeai

pytestmark = pytest.mark.kubernetes
AUTOSCALING = {"interval": "300ms", "timeWindow": "3s", "stateConfigMapName": "state"}
LOAD = 4


@pytest.fixture
async def managers(
    access: ClusterAccess, client: Client, real_server: APIServer, tmp_path: Path
) -> AsyncIterator[list[Manager]]:
    """Two of them; the first leads. Their metrics are on one port, at the addresses that their Pods have."""
    port = free_port("127.0.0.11")
    async with AsyncExitStack() as stack:
        running: list[Manager] = []
        for name, address in (("first", "127.0.0.11"), ("second", "127.0.0.12")):
            await pod_of_kubeai(client, name, address)
            settings: dict[str, Any] = {"metricsAddr": f"{address}:{port}", "modelAutoscaling": AUTOSCALING}
            part = manager(access, real_server.kubeconfig, tmp_path, **settings)
            started = await stack.enter_async_context(part)
            await started.url()
            if not running:
                await started.says("leads: it holds Lease")
            running.append(started)
        yield running


# fault A2
async def test_a_leader_that_is_killed_under_steady_load_changes_no_replicas(
    client: Client, managers: list[Manager]
) -> None:
    first, second = managers
    world, engine = World(client), Engine()
    async with world.watched(), engine.running(), aiohttp.ClientSession() as http, asyncio.TaskGroup() as requests:
        spec: dict[str, Any] = {"targetRequests": 1, "scaleDownDelaySeconds": 0}
        await client.create(MODELS, model_manifest(metadata={"annotations": engine.annotations}, **spec))
        await client.create(MODELS, model_manifest("idle", **spec))
        await second.knows("m")
        url = await second.url()
        answers = [requests.create_task(chat(url, http)) for _ in range(LOAD)]
        await world.until(world.states, lambda: world.average() == LOAD)
        await world.until(world.models, lambda: world.scalings[-1:] == [LOAD])  # its watch is another one
        world.scalings.clear()

        await first.end(signal.SIGKILL)
        await second.says("leads: it holds Lease")
        # fault A4: as long as nobody knows what the first one has to do, nothing is scaled down.
        await client.patch(MODELS, "idle", {"spec": {"replicas": 1}}, subresource="scale")
        await second.says(r"(?s)(gateway at 127\.0\.0\.11:\d+ are unknown.*){5}")
        assert world.replicas("idle") == 1
        await client.delete(PODS, "first", grace_period_s=0)  # the node restarts it: for now it is none of the ready
        await world.until(world.models, lambda: world.replicas("idle") == 0)
        await world.rounds(3)
        assert (world.average(), world.scalings) == (LOAD, [])

        engine.may_answer.set()
        assert [await answer for answer in answers] == [200] * LOAD
        await world.until(world.models, lambda: world.scalings[-1:] == [0])  # fault A5: what was busy sleeps at last
