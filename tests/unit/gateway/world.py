"""A whole gateway on a real socket, with a fake cluster behind it and real engines beside it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from kubeai.access.books import Books
from kubeai.access.gate import Gate
from kubeai.access.ledger import Ledger
from kubeai.api.k8s.objects import ConfigMap
from kubeai.api.k8s.resources import Resource
from kubeai.api.model import Model
from kubeai.config.system import GatewaySettings
from kubeai.gateway.limits import Limits
from kubeai.gateway.server import Gateway
from kubeai.gateway.watching import Watcher
from kubeai.inference.directory import Directory
from kubeai.inference.wake import Wake
from kubeai.kube.errors import APIError
from kubeai.routing.balancer import Balancer
from kubeai.telemetry.registry import Metrics
from tests.builders import model

from .engine import Engine
from .wire import Message, close, read_chunk, read_head, read_message

T = TypeVar("T")
#: More than anything takes on a machine that has many other things to do.
PATIENCE_S = 60.0


class FakeCluster:
    """The informer's and the client's part that the gateway sees: Models, and who scales them."""

    def __init__(self) -> None:
        self.models: dict[str, Model] = {}
        self.scaled: list[str] = []
        self._handlers: list[Callable[[Model | None, Model | None], None]] = []

    def on_change(self, handler: Callable[[Model | None, Model | None], None]) -> None:
        self._handlers.append(handler)
        for each in self.models.values():
            handler(None, each)

    def put(self, new: Model) -> None:
        old = self.models.get(new.name)
        self.models[new.name] = new
        for handler in self._handlers:
            handler(old, new)

    def remove(self, name: str) -> None:
        old = self.models.pop(name)
        for handler in self._handlers:
            handler(old, None)

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> dict[str, Any]:
        found = self.models[name]
        return {"metadata": {"resourceVersion": "8"}, "spec": {"replicas": found.spec.replicas}}

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        *,
        namespace: str | None = None,
        subresource: str | None = None,
    ) -> dict[str, Any]:
        assert (resource.plural, subresource, patch["spec"]) == ("models", "scale", {"replicas": 1})
        old = self.models.get(name)
        if old is None:
            raise APIError(404, "NotFound", f"there is no Model {name}")
        self.scaled.append(name)
        self.put(old.model_copy(update={"spec": old.spec.model_copy(update={"replicas": 1})}))
        return {}


class NoMonths:
    """A cluster in which no usage was ever written, and none is."""

    def all(self) -> list[ConfigMap]:
        return []

    async def get(self, *_: Any, **__: Any) -> dict[str, Any]:
        raise NotImplementedError

    create = patch = get


@dataclass
class Connection:
    """A client's raw connection to the gateway."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *data: bytes) -> None:
        self.writer.write(b"".join(data))
        await self.writer.drain()

    async def read(self, *, bodiless: bool = False) -> Message:
        return await within(read_message(self.reader, bodiless=bodiless))

    async def read_head(self) -> Message:
        return await within(read_head(self.reader))

    async def read_chunk(self) -> bytes:
        return await within(read_chunk(self.reader))

    async def rest(self) -> bytes:
        """What comes until the gateway closes the connection in order."""
        return await within(self.reader.read(-1))

    async def ask(self, **options: Any) -> Message:
        await self.send(chat(**options))
        return await self.read()

    def end(self) -> None:
        """Send nothing more, but go on reading."""
        self.writer.write_eof()

    def reset(self) -> None:
        self.writer.transport.abort()


@dataclass
class World:
    """Everything around one gateway."""

    gateway: Gateway
    cluster: FakeCluster
    balancer: Balancer
    metrics: Metrics
    connections: list[Connection] = field(default_factory=list)
    ready: str | None = None

    async def connect(self) -> Connection:
        connection = Connection(*await asyncio.open_connection("127.0.0.1", self.gateway.port))
        self.connections.append(connection)
        return connection

    async def ask(self, **options: Any) -> Message:
        """One request over a connection of its own."""
        return await (await self.connect()).ask(**options)

    async def send(self, *data: bytes) -> Message:
        connection = await self.connect()
        await connection.send(*data)
        return await connection.read()

    def serve(self, *engines: Engine, name: str = "m") -> None:
        """Make these the endpoints of the Model."""
        balancing = self.cluster.models[name].spec.load_balancing
        self.balancer.set_group(name, [e.endpoint for e in engines], balancing)

    def sample(self, name: str, **labels: str) -> float:
        """The value of a metric as it is served; 0 if there is none."""
        want = {f'{key}="{value}"' for key, value in labels.items()}
        for line in self.metrics.render().decode().splitlines():
            series, _, value = line.rpartition(" ")
            found, _, rest = series.partition("{")
            if found == name and want <= set(rest.rstrip("}").split(",")):
                return float(value)
        return 0.0

    def at_rest(self) -> bool:
        """Nothing is counted as in flight, active or waiting."""
        lines = self.metrics.render().decode().splitlines()
        counts = ("kubeai_inference_requests_active{", "kubeai_endpoint_requests_in_flight{")
        active = [line for line in lines if line.startswith(counts)]
        return all(line.endswith(" 0.0") for line in active) and not self.balancer.waiting("m")


@asynccontextmanager
async def world(
    *models: Model,
    limits: Limits | None = None,
    gate: Gate | None = None,
    watchers: Sequence[Watcher] = (),
    settings: Mapping[str, Any] | None = None,
    **more: Any,
) -> AsyncIterator[World]:
    """A gateway that listens; after the block its counts must be zero (fault P12)."""
    cluster = FakeCluster()
    for each in models or [model(replicas=1)]:
        cluster.put(each)
    metrics = Metrics()
    balancer = Balancer(metrics)
    wake = Wake(cluster)
    quick = limits or Limits(sweep_interval_s=0.02, linger_timeout_s=0.5)
    made: list[World] = []
    gateway = Gateway(
        Directory(cluster),
        wake,
        balancer,
        metrics,
        GatewaySettings.model_validate(more | dict(settings or {})),
        lambda: made[0].ready,
        gate=gate,
        books=Books(Ledger(metrics), NoMonths(), NoMonths(), 60.0),
        watchers=watchers,
        limits=quick,
    )
    made.append(World(gateway, cluster, balancer, metrics))
    await gateway.start("127.0.0.1", 0)
    try:
        yield made[0]
        await until(made[0].at_rest)
    finally:
        await within(gateway.close())
        await wake.close()
        for connection in made[0].connections:
            await close(connection.writer)


def chat(
    path: bytes = b"/openai/v1/chat/completions",
    *headers: bytes,
    body: bytes | None = None,
    version: bytes = b"1.1",
    **fields: Any,
) -> bytes:
    """A chat request for Model `m`; fields are those of the JSON body."""
    if body is None:
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]} | fields).encode()
    lines = [
        b"POST " + path + b" HTTP/" + version,
        b"Host: gateway",
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def within(awaitable: Awaitable[T]) -> T:
    """Wait, but not for ever."""
    async with asyncio.timeout(PATIENCE_S):
        return await awaitable


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that sockets bring about."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - what a socket brings about has no event
            await asyncio.sleep(0.005)
