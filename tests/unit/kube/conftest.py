from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kubeai.kube.access import ClusterAccess
from kubeai.kube.client import Client
from tests.unit.kube.scripted import ScriptedServer


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer().running() as running:
        yield running


@pytest.fixture
async def client(server: ScriptedServer) -> AsyncIterator[Client]:
    async with Client(ClusterAccess(server.url)) as connected:
        yield connected
