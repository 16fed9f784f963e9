"""The gateway in a process of its own, with one Model whose only endpoint is the address given.

Everything is on: a thousand API keys with limits, usage, metrics, balancing. `--workers` shares counts as the processes
of one gateway do.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import socket
from collections.abc import Callable
from typing import Any

import uvloop

from kubeai.access.books import Books
from kubeai.access.gate import Gate
from kubeai.access.key import Key, digest_of
from kubeai.access.ledger import Ledger
from kubeai.access.secret import encode
from kubeai.api.k8s.objects import ConfigMap, Secret
from kubeai.api.model import LoadBalancing, Model
from kubeai.app.serving import collect_rarely
from kubeai.config.system import GatewaySettings
from kubeai.gateway.server import Gateway
from kubeai.inference.directory import Directory
from kubeai.inference.wake import Wake
from kubeai.routing.balancer import Balancer
from kubeai.routing.endpoint import Endpoint
from kubeai.telemetry.pages import Memory, shared_memory
from kubeai.telemetry.registry import Metrics

MODEL = Model.model_validate(
    {
        "metadata": {"name": "bench", "namespace": "default", "uid": "1"},
        "spec": {"url": "hf://a/b", "engine": "VLLM", "features": ["TextGeneration"], "replicas": 1},
    }
)


class OneModel:
    """Stands for the informer and the client of a cluster in which nothing ever changes."""

    def on_change(self, handler: Callable[[Model | None, Model | None], None]) -> None:
        handler(None, MODEL)

    async def get(self, *_: Any, **__: Any) -> dict[str, Any]:
        raise NotImplementedError

    create = patch = get

    def all(self) -> list[ConfigMap]:
        """No usage was written yet."""
        return []


class Keys:
    """Stands for the informer of the Secret with the API keys."""

    synced = True

    def on_change(self, handler: Callable[[Secret | None, Secret | None], None]) -> None:
        handler(None, Secret(data={key.name: encode(key) for key in map(_key, range(1000))}))


def _key(number: int) -> Key:
    name, plenty = f"key{number}", 10**9
    digest = digest_of(name.encode())
    return Key(name=name, digest=digest, requests_per_minute=plenty, tokens_per_minute=plenty, concurrency=plenty)


async def serve(engine: str, listening: socket.socket, metrics: Metrics, *, plain: bool) -> None:
    """`plain`: without keys, and without counting usage."""
    host, _, engine_port = engine.rpartition(":")
    balancer = Balancer(metrics)
    balancer.set_group("bench", [Endpoint("engine", host, int(engine_port))], LoadBalancing())
    cluster = OneModel()
    books = None if plain else Books(Ledger(metrics), cluster, cluster, 3600)
    directory, wake, gate = Directory(cluster), Wake(cluster), None if plain else Gate(None, Keys())
    gateway = Gateway(directory, wake, balancer, metrics, GatewaySettings(), lambda: None, gate=gate, books=books)
    await gateway.serve([listening])
    collect_rarely()  # as the program does
    gc.freeze()
    await asyncio.Event().wait()


def listen(port: int) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen(2048)
    listening.setblocking(False)
    return listening


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    memory = shared_memory(arguments.workers)
    sockets = [listen(arguments.port) for _ in range(arguments.workers)]
    number = 0
    while number + 1 < arguments.workers and os.fork():
        number += 1  # the children are the first ones, this process the last
    metrics = Metrics(memory=Memory(arguments.workers, memory), process=number)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(arguments.engine, sockets[number], metrics, plain=arguments.plain))


if __name__ == "__main__":
    main()
