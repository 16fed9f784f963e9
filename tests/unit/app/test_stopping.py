"""Real processes that are told to stop before they are ready: their API server is not there."""

from __future__ import annotations

import asyncio
import pickle
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubeai.app.worker import WorkerOptions
from kubeai.embedded.kubeconfig import write_kubeconfig
from kubeai.kube.access import ClusterAccess, token_access
from kubeai.telemetry.pages import shared_memory
from tests.builders import system
from tests.kubernetes.manager import manager

DEADLINE_S = 60


@pytest.fixture
def access() -> Iterator[ClusterAccess]:
    """To a port that is taken, so that nobody else listens on it, and refuses."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield token_access(f"http://127.0.0.1:{closed.getsockname()[1]}", "t")


@pytest.fixture
def kubeconfig(access: ClusterAccess, tmp_path: Path) -> Path:
    path = tmp_path / "kubeconfig"
    write_kubeconfig(path, access.server, "t")
    return path


# fault P4
@pytest.mark.parametrize(
    ("verb", "workers"),
    [
        pytest.param("manager", 1, id="everything in one process"),
        pytest.param("operator", 1, id="the operator"),
        pytest.param("gateway", 1, id="a gateway"),
        pytest.param("gateway", 2, id="a gateway of several processes"),
    ],
)
async def test_what_is_not_ready_stops_when_told_to(
    access: ClusterAccess, kubeconfig: Path, tmp_path: Path, verb: str, workers: int
) -> None:
    async with manager(access, kubeconfig, tmp_path, verb, workers) as running:
        await running.says(f"{verb} for namespace")
        assert await running.end(signal.SIGTERM) == 0


async def test_a_worker_that_is_not_ready_frees_the_port_when_its_parent_is_gone(kubeconfig: Path) -> None:
    memory = shared_memory(1)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        options = WorkerOptions(
            *(system(), "default", kubeconfig, False, False, "console", "WARNING"),
            memory=memory,
            listening=(listening.fileno(),),
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "kubeai.app.worker"),
            stdin=asyncio.subprocess.PIPE,
            pass_fds=(memory, listening.fileno()),
        )
    assert process.stdin is not None
    try:
        async with asyncio.timeout(DEADLINE_S):
            process.stdin.write(pickle.dumps(options))
            assert b" 503 " in await readiness(port)
            process.stdin.close()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def readiness(port: int) -> bytes:
    """The first line of its answer, which comes once it serves."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /readyz HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n")
    line = await reader.readline()
    writer.close()
    return line
