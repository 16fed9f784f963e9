"""A server to hold against the contract: each case runs against the embedded one and against a real kube-apiserver.

Cases that ask for something that only the embedded server promises take the fixture `embedded`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kubeai.embedded.apiserver import APIServer
from kubeai.embedded.kubeconfig import write_kubeconfig
from kubeai.kube.client import Client
from kubeai.kube.kubeconfig import load_kubeconfig
from scripts.kubernetes.api_server import APIServer as RealServer
from tests.kubernetes.real_server import fresh_namespace

from .kubectl import Kubectl
from .watch import OpenWatch, opener

TOKEN = "a-token/with+odd=characters"


class FakeLogs:
    """A container that has written three lines, and writes one more while it is followed."""

    async def open(
        self,
        namespace: str,
        pod_name: str,
        pod_uid: str,
        container: str,
        *,
        follow: bool,
        tail_lines: int | None,
        previous: bool,
    ) -> AsyncIterator[bytes]:
        if container == "silent":
            raise FileNotFoundError(f'container "{container}" in pod "{pod_name}" is waiting to start')
        lines = [f"{container} {word}\n".encode() for word in ("one", "two", "three")]
        if previous:
            lines = [b"the run before\n"]
        for line in lines[-tail_lines:] if tail_lines else lines:
            yield line
        if follow:
            await asyncio.sleep(0)
            yield b"four\n"


@dataclass(frozen=True)
class Server:
    """An API server that answers."""

    kubeconfig: Path
    #: None for the real one.
    api: APIServer | None
    has_controllers: bool = False


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        real = [] if "embedded" in metafunc.fixturenames else [pytest.param("real", marks=pytest.mark.kubernetes)]
        metafunc.parametrize("server", ["embedded", *real], indirect=True)


@pytest.fixture
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    if request.param == "real":
        real: RealServer = request.getfixturevalue("real_server")
        yield Server(real.kubeconfig, None, real.has_controllers)
        return
    api = APIServer(tmp_path, token=TOKEN, logs=FakeLogs())
    await api.start()
    try:
        write_kubeconfig(tmp_path / "kubeconfig", api.url, TOKEN)
        yield Server(tmp_path / "kubeconfig", api)
    finally:
        await api.stop()


@pytest.fixture
def embedded(server: Server) -> APIServer:
    """The embedded server itself."""
    assert server.api is not None
    return server.api


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    """A client in a namespace of its own."""
    access = load_kubeconfig(server.kubeconfig)
    async with fresh_namespace(access, has_controllers=server.has_controllers) as fresh, Client(fresh) as client:
        yield client


@pytest.fixture
def watch(client: Client) -> OpenWatch:
    return opener(client)


@pytest.fixture
def kubectl(server: Server, client: Client, tmp_path: Path) -> Kubectl:
    """The real kubectl, in the namespace of the client."""
    return Kubectl(server.kubeconfig, client.namespace, tmp_path)
