"""The API servers that the operator is measured on: a real kube-apiserver with etcd, and the embedded one.

Both run as processes of their own, so that what they spend is not counted as the operator's.
`python -m benchmarks.control_plane.servers DIR` runs the embedded one until it is told to stop.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kubeai.api.crd import model_crd
from kubeai.api.k8s.resources import CUSTOM_RESOURCE_DEFINITIONS
from kubeai.app.serving import collect_rarely
from kubeai.embedded.apiserver import APIServer
from kubeai.embedded.kubeconfig import write_kubeconfig
from kubeai.kube.client import Client
from kubeai.kube.kubeconfig import load_kubeconfig
from scripts.kubernetes import api_server as real
from scripts.kubernetes.models import models_are_served

START_TIMEOUT_S = 30.0


@contextmanager
def api_server(kind: str, directory: Path) -> Iterator[Path]:
    """A running API server (`real` or `embedded`) that knows Models; yields its administrator's kubeconfig.

    Raises `scripts.kubernetes.api_server.NoKubernetesError` where a real one cannot be had.
    """
    if kind == "real":
        with real.running(directory) as server:
            asyncio.run(_install_definition(server.kubeconfig))
            yield server.kubeconfig
    else:
        with _embedded(directory) as kubeconfig:
            yield kubeconfig


async def _install_definition(kubeconfig: Path) -> None:
    async with Client(load_kubeconfig(kubeconfig)) as client:
        await client.create(CUSTOM_RESOURCE_DEFINITIONS, model_crd())
        await models_are_served(client)


@contextmanager
def _embedded(directory: Path) -> Iterator[Path]:
    process = subprocess.Popen([sys.executable, "-m", __name__, str(directory)])
    kubeconfig = directory / "kubeconfig"
    deadline = time.monotonic() + START_TIMEOUT_S
    try:
        while not kubeconfig.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the embedded API server did not start")
            time.sleep(0.01)
        yield kubeconfig
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(START_TIMEOUT_S)


class _NoLogs:
    async def open(self, *where: str, **how: Any) -> AsyncIterator[bytes]:
        yield b""


async def _serve(directory: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    collect_rarely()  # as `kubeai up` does
    token = secrets.token_urlsafe()
    server = APIServer(directory, token=token, logs=_NoLogs())
    await server.start()
    write_kubeconfig(directory / "kubeconfig", server.url, token)
    await stop.wait()
    await server.stop()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve(Path(sys.argv[1])))
