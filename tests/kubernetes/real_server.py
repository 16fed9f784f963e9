"""The real API server of a test run: started when the first test asks for it, and shared by all of them.

Each test works in a namespace of its own, so that one never sees what another has left behind.
"""

from __future__ import annotations

import asyncio
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from kubeai.api.k8s.resources import NAMESPACES, SERVICE_ACCOUNTS
from kubeai.kube.access import ClusterAccess
from kubeai.kube.client import Client
from kubeai.kube.errors import APIError
from kubeai.kube.kubeconfig import load_kubeconfig
from scripts.kubernetes.api_server import APIServer, running
from tests.contract.kubectl import find_kubectl

CRD = Path(__file__).parents[2] / "manifests/crds/kubeai.org_models.yaml"
DEADLINE_S = 60


@pytest.fixture(scope="session")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[APIServer]:
    """kube-apiserver with RBAC on and the CRD of Models applied, as its administrator sees it."""
    with running(tmp_path_factory.mktemp("kubernetes")) as server:
        _kubectl(server, "apply", "--server-side", "-f", str(CRD))
        _kubectl(server, "wait", "--for=condition=Established", "-f", str(CRD))
        yield server


def _kubectl(server: APIServer, *arguments: str) -> None:
    command = [find_kubectl(), "--kubeconfig", str(server.kubeconfig), *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE_S)


@asynccontextmanager
async def fresh_namespace(access: ClusterAccess, *, has_controllers: bool = True) -> AsyncIterator[ClusterAccess]:
    """The same access in a namespace that is new, and deleted afterwards."""
    name = f"test-{secrets.token_hex(4)}"
    async with Client(replace(access, namespace=name)) as client:
        await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        if has_controllers:
            await _service_account(client)
        yield client.transport.access
        try:
            await client.delete(NAMESPACES, name)
        except APIError as error:
            if not error.not_found:  # the test has deleted it, and it may be gone by now
                raise


async def _service_account(client: Client) -> None:
    """Wait for the service account that every Pod needs: the cluster makes it shortly after the namespace."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                await client.get(SERVICE_ACCOUNTS, "default")
                return
            except APIError as error:
                if not error.not_found:
                    raise
            await asyncio.sleep(0.01)


@pytest.fixture
async def access(real_server: APIServer) -> AsyncIterator[ClusterAccess]:
    """The administrator in a namespace of this test."""
    admin = load_kubeconfig(real_server.kubeconfig)
    async with fresh_namespace(admin, has_controllers=real_server.has_controllers) as fresh:
        yield fresh


@pytest.fixture
async def client(access: ClusterAccess) -> AsyncIterator[Client]:
    async with Client(access) as connected:
        yield connected
