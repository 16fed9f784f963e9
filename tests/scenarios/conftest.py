"""The API servers that each scenario is played on: the embedded one, and a real kube-apiserver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kubeai.embedded.apiserver import APIServer
from kubeai.embedded.kubeconfig import write_kubeconfig
from kubeai.kube.access import ClusterAccess, token_access
from kubeai.kube.kubeconfig import load_kubeconfig
from scripts.kubernetes.api_server import APIServer as RealServer
from tests.kubernetes.real_server import fresh_namespace

from .roles import as_kubeai, kubeconfig_of_kubeai


class _NoLogs:
    async def open(self, *where: str, **how: Any) -> AsyncIterator[bytes]:
        yield b""


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.kubernetes)])
async def access(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ClusterAccess]:
    """Access to a namespace that nobody else uses."""
    if request.param == "real":
        real: RealServer = request.getfixturevalue("real_server")
        admin = load_kubeconfig(real.kubeconfig)
        async with fresh_namespace(admin, has_controllers=real.has_controllers) as fresh:
            yield fresh
        return
    server = APIServer(tmp_path, token="t", logs=_NoLogs())
    await server.start()
    try:
        yield token_access(server.url, "t")
    finally:
        await server.stop()


@pytest.fixture
async def own_access(access: ClusterAccess, request: pytest.FixtureRequest, tmp_path: Path) -> ClusterAccess:
    """The same namespace as KubeAI itself sees it: on a real server with no more rights than the chart gives it."""
    if "real" not in request.node.callspec.id:
        return access
    real: RealServer = request.getfixturevalue("real_server")
    return await as_kubeai(access, real, tmp_path)


@pytest.fixture
async def second_access(access: ClusterAccess, request: pytest.FixtureRequest) -> AsyncIterator[ClusterAccess]:
    """Access to another namespace of the same server."""
    real = "real" in request.node.callspec.id
    has_controllers = real and request.getfixturevalue("real_server").has_controllers
    async with fresh_namespace(access, has_controllers=has_controllers) as fresh:
        yield fresh


@pytest.fixture
def kubeconfig(access: ClusterAccess, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """For other processes, to the same server."""
    if "real" in request.node.callspec.id:
        real: RealServer = request.getfixturevalue("real_server")
        return real.kubeconfig
    path = tmp_path / "kubeconfig"
    write_kubeconfig(path, access.server, "t")
    return path


@pytest.fixture
def own_kubeconfig(own_access: ClusterAccess, kubeconfig: Path, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """For processes that are KubeAI itself: with its rights, as `own_access`."""
    if "real" not in request.node.callspec.id:
        return kubeconfig
    return kubeconfig_of_kubeai(kubeconfig, tmp_path)
