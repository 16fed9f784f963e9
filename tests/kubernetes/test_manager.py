"""Several managers, started as a cluster starts them, on the real API server."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from kubeai.api.k8s.resources import LEASES, MODELS
from kubeai.api.model import Model
from kubeai.app.run import LEASE
from kubeai.kube.access import ClusterAccess
from kubeai.kube.client import Client
from kubeai.kube.informer import Informer
from scripts.kubernetes.api_server import APIServer
from tests.builders import model_manifest

from .manager import Manager, manager

pytestmark = pytest.mark.kubernetes
DEADLINE_S = 30


@pytest.fixture
async def managers(access: ClusterAccess, real_server: APIServer, tmp_path: Path) -> AsyncIterator[list[Manager]]:
    """Two of them; the first leads."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(manager(access, real_server.kubeconfig, tmp_path))
        await first.says("leads: it holds Lease")
        second = await stack.enter_async_context(manager(access, real_server.kubeconfig, tmp_path))
        await second.url()
        yield [first, second]


async def _holder(client: Client) -> str:
    lease: dict[str, Any] = await client.get(LEASES, LEASE)
    return str(lease["spec"]["holderIdentity"])


async def _operated(client: Client, name: str) -> None:
    """Wait until somebody has looked after a new Model."""
    models: Informer[Model] = Informer(client, MODELS, Model.model_validate_json)
    looked_after = asyncio.Event()

    def on_model(_: Model | None, new: Model | None) -> None:
        if new is not None and new.name == name and new.condition("Ready") is not None:
            looked_after.set()

    models.on_change(on_model)
    running = asyncio.create_task(models.run())
    try:
        await client.create(MODELS, model_manifest(name))
        async with asyncio.timeout(DEADLINE_S):
            await looked_after.wait()
    finally:
        running.cancel()


async def test_one_leads_and_all_serve(client: Client, managers: list[Manager]) -> None:
    holder = await _holder(client)
    await _operated(client, "m")
    for each in managers:
        await each.knows("m")
    assert await _holder(client) == holder


async def test_a_leader_that_is_killed_is_followed(client: Client, managers: list[Manager]) -> None:
    first, second = managers
    killed = await _holder(client)
    await first.end(signal.SIGKILL)
    await second.says("leads: it holds Lease")
    assert await _holder(client) not in ("", killed)
    await _operated(client, "m")


async def test_a_leader_that_is_stopped_hands_over_at_once(client: Client, managers: list[Manager]) -> None:
    first, second = managers
    stopped = await _holder(client)
    assert await first.end(signal.SIGTERM) == 0
    assert await _holder(client) != stopped  # released, and perhaps taken already
    await second.says("leads: it holds Lease")
    assert await second.end(signal.SIGTERM) == 0
    assert await _holder(client) == ""
