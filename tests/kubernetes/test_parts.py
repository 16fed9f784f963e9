"""The operator and the gateway as processes of their own, on a real API server."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kubeai.api.k8s.resources import LEASES, MODELS
from kubeai.app.run import LEASE
from kubeai.kube.access import ClusterAccess
from kubeai.kube.client import Client
from scripts.kubernetes.api_server import APIServer
from tests.builders import model_manifest

from .manager import manager
from .world import Engine, World, chat, free_port, pod_of_kubeai

pytestmark = pytest.mark.kubernetes
AUTOSCALING = {"interval": "300ms", "timeWindow": "900ms", "stateConfigMapName": "state"}


async def test_one_serves_and_the_other_decides(
    access: ClusterAccess, client: Client, real_server: APIServer, tmp_path: Path
) -> None:
    port = free_port("127.0.0.11")
    settings: dict[str, Any] = {"modelAutoscaling": AUTOSCALING}
    world, engine, kubeconfig = World(client), Engine(), real_server.kubeconfig
    async with (
        manager(access, kubeconfig, tmp_path, "operator", metricsAddr=f"127.0.0.11:{port}", **settings) as operator,
        manager(access, kubeconfig, tmp_path, "gateway", metricsAddr=f"127.0.0.12:{port}", **settings) as gateway,
        world.watched(),
        engine.running(),
        aiohttp.ClientSession() as http,
        asyncio.TaskGroup() as requests,
    ):
        # Nobody is at the operator's address to ask: if it counted as a gateway, nothing would be scaled down.
        part = {"app.kubernetes.io/component": "operator"}
        await pod_of_kubeai(client, "operator", "127.0.0.13", **part)
        await pod_of_kubeai(client, "gateway", "127.0.0.12", **{"app.kubernetes.io/component": "gateway"})
        spec: dict[str, Any] = {"targetRequests": 1, "scaleDownDelaySeconds": 0}
        await client.create(MODELS, model_manifest(metadata={"annotations": engine.annotations}, **spec))
        await gateway.knows("m")
        url = await gateway.url()
        answers = [requests.create_task(chat(url, http)) for _ in range(2)]
        await world.until(world.models, lambda: 2 in world.scalings)  # the autoscaler sees the other process's load
        engine.may_answer.set()
        assert [await answer for answer in answers] == [200, 200]
        await world.until(world.models, lambda: world.scalings[-1] == 0)

        assert (await client.get(LEASES, LEASE))["spec"]["holderIdentity"] != ""
        assert [await each.end(signal.SIGTERM) for each in (gateway, operator)] == [0, 0]
        assert (await client.get(LEASES, LEASE))["spec"]["holderIdentity"] == ""
