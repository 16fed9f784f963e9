"""What one machine feels: start-up, idling, and our share of a cold start.

The model server is `instant_server`, which is ready as soon as it runs, so that the figures are ours alone:
request at zero replicas -> Pod object seen by a watch; server ready -> first byte at the client.
"""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import msgspec

from benchmarks.process import cpu_s, memory_mb
from benchmarks.tables import Figure, show, single
from kubeai.api.k8s.objects import Pod
from kubeai.api.k8s.resources import MODELS, PODS
from kubeai.kube.client import Client
from kubeai.kube.informer import Informer
from kubeai.kube.kubeconfig import load_kubeconfig

STARTS = 5
IDLE_S = 20.0
ROUNDS = 20
CHAT = {"model": "instant", "messages": [{"role": "user", "content": "What is the capital of France?"}]}


@contextmanager
def kubeai(root: Path) -> Iterator[tuple[subprocess.Popen[bytes], str, float]]:
    """`kubeai up` in `root`, with the instant server on its PATH; yields the process, its URL, the seconds to start."""
    program = root / "bin" / "llama-server"
    if not program.exists():
        program.parent.mkdir(parents=True)
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name("instant_server.py")} "$@"\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    data = root / "data"
    endpoint = data / "endpoint"
    endpoint.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
    }
    command = [sys.executable, "-m", "kubeai", "up", "--data-dir", str(data), "--port", "0"]
    start = time.perf_counter()
    log = (root / "log").open("ab")
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        while not endpoint.exists():
            if process.poll() is not None:
                raise RuntimeError(f"kubeai up ended with {process.returncode}: see {root / 'log'}")
            time.sleep(0.005)
        yield process, endpoint.read_text().strip(), time.perf_counter() - start
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        log.close()


@asynccontextmanager
async def running(informer: Informer[Pod]) -> AsyncIterator[None]:
    task = asyncio.create_task(informer.run())
    await informer.wait_synced()
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def cold_starts(data: Path, url: str, ready_file: Path) -> tuple[list[float], list[float]]:
    """ROUNDS requests at zero; seconds to the Pod object, and from the server's readiness to the first byte."""
    to_pod: list[float] = []
    to_byte: list[float] = []
    async with Client(load_kubeconfig(data / "kubeconfig")) as client, aiohttp.ClientSession() as http:
        await client.create(MODELS, model(ready_file))
        pods = Informer(client, PODS, msgspec.json.Decoder(Pod).decode)
        seen: dict[str, float] = {}
        gone = asyncio.Event()

        def changed(old: Pod | None, new: Pod | None) -> None:
            if old is None and new is not None:
                seen.setdefault(new.name, time.time())
            elif new is None:
                gone.set()

        pods.on_change(changed)
        async with running(pods):
            for _ in range(ROUNDS):
                seen.clear()
                gone.clear()
                sent = time.time()
                async with http.post(f"{url}/openai/v1/chat/completions", json=CHAT) as answer:
                    first_byte = time.time()
                    answer.raise_for_status()
                    await answer.read()
                to_pod.append(min(seen.values()) - sent)
                to_byte.append(first_byte - ready_at(ready_file))
                await client.patch(MODELS, "instant", {"spec": {"replicas": 0}})
                await asyncio.wait_for(gone.wait(), 30)
    return to_pod, to_byte


def ready_at(ready_file: Path) -> float:
    """The moment (Unix time in s) from which the server that ran last answered."""
    return float(ready_file.read_text())


def model(ready_file: Path) -> dict[str, object]:
    weights = ready_file.with_name("weights.gguf")
    weights.touch()
    return {
        "apiVersion": MODELS.api_version,
        "kind": MODELS.kind,
        "metadata": {"name": "instant"},
        "spec": {
            "engine": "LlamaCpp",
            "features": ["TextGeneration"],
            "url": f"file://{weights}",
            "env": {"READY_FILE": str(ready_file)},
            "minReplicas": 0,
            "scaleDownDelaySeconds": 3600,
        },
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        starts: list[float] = []
        for _ in range(STARTS):
            with kubeai(root) as (_, _, start_s):
                starts.append(start_s * 1000)
        with kubeai(root) as (process, url, _):
            time.sleep(2)  # past the work of starting
            before = cpu_s(process.pid)
            time.sleep(IDLE_S)
            idle = (cpu_s(process.pid) - before) / IDLE_S * 100
            memory = memory_mb(process.pid)
            to_pod, to_byte = asyncio.run(cold_starts(root / "data", url, root / "ready"))
        show(
            [
                Figure("kubeai up: start to ready", starts, "ms", 1000),
                Figure("request at zero -> Pod object seen", [s * 1000 for s in to_pod], "ms", 50),
                Figure("server ready -> first byte at the client", [s * 1000 for s in to_byte], "ms", 50),
                single(f"idle CPU over {IDLE_S:.0f} s", idle, "% of a core", 1),
                single("idle memory", memory, "MB resident", 150),
            ]
        )


if __name__ == "__main__":
    main()
