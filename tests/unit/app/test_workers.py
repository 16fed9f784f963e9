"""A gateway of several real processes: they share a port and their counts, and none of them is missed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import os
import re
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kubeai.access.books import days_of
from kubeai.api.k8s.resources import CONFIG_MAPS, MODELS, PODS, SECRETS
from kubeai.app.worker import WorkerOptions
from kubeai.app.workers import Workers, next_delay_s
from kubeai.embedded.apiserver import APIServer
from kubeai.embedded.kubeconfig import write_kubeconfig
from kubeai.kube.access import token_access
from kubeai.kube.client import Client
from kubeai.telemetry.registry import Metrics
from tests.builders import model_manifest, pod_manifest, system
from tests.unit.access.keys import key, secret
from tests.unit.gateway.engine import Engine, Line, engine, ok
from tests.unit.gateway.wire import Message
from tests.unit.gateway.world import Connection

PATIENCE_S = 60.0
CHAT = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
ASK = b"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nAuthorization: %%b\r\nContent-Length: %d\r\n\r\n%b" % (
    len(CHAT),
    CHAT,
)


class NoLogs:
    async def open(self, *where: str, **how: Any) -> AsyncIterator[bytes]:
        yield b""


@dataclass
class World:
    """Two workers over one Model, with this process as their parent."""

    workers: Workers
    metrics: Metrics
    client: Client
    connections: list[Connection] = field(default_factory=list)

    async def ask(self, authorization: bytes = b"Bearer none") -> Connection:
        """A request over a connection of its own, which any of the workers may get."""
        connection = await self.connect()
        await connection.send(ASK % authorization)
        return connection

    async def connect(self) -> Connection:
        connection = Connection(*await asyncio.open_connection("127.0.0.1", self.workers.port))
        self.connections.append(connection)
        return connection

    def count(self, name: str) -> dict[str, float]:
        """Labels -> value, as this process serves it."""
        lines = self.metrics.render().decode().splitlines()
        return {
            labels: float(value) for line in lines for labels, value in re.findall(rf"^{name}{{(.*)}} (\S+)$", line)
        }

    def active(self) -> float:
        return sum(self.count("kubeai_inference_requests_active").values())

    def in_flight(self) -> list[float]:
        return sorted(self.count("kubeai_endpoint_requests_in_flight").values())

    def pids(self) -> list[int]:
        return [worker.process.pid for worker in self.workers._workers if worker.process is not None]


@asynccontextmanager
async def world(tmp_path: Path, *engines: Engine, access_log: bool = False, **gateway: Any) -> AsyncIterator[World]:
    server = APIServer(tmp_path, token="t", logs=NoLogs())
    await server.start()
    kubeconfig = tmp_path / "kubeconfig"
    write_kubeconfig(kubeconfig, server.url, "t")
    options = WorkerOptions(system(gateway=gateway), "default", kubeconfig, False, access_log, "console", "WARNING")
    workers = Workers(2, options)
    await workers.start("127.0.0.1", 0)
    async with Client(token_access(server.url, "t")) as client:
        made = World(workers, workers.metrics(), client)
        await client.create(MODELS, model_manifest(replicas=len(engines), minReplicas=len(engines)))
        for each in engines:
            await client.create(PODS, ready_pod(each))
            await client.patch(PODS, each.name, {"status": STATUS}, subresource="status")
        running = asyncio.create_task(workers.run())
        try:
            async with asyncio.timeout(PATIENCE_S):
                await workers.wait_ready()
            yield made
        finally:
            await workers.close()
            await running
            for connection in made.connections:
                connection.writer.close()
            await server.stop()


STATUS = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "podIP": "127.0.0.1"}


def ready_pod(served: Engine) -> dict[str, Any]:
    annotations = {"model-pod-port": str(served.endpoint.port)}
    return pod_manifest(served.name, metadata={"labels": {"model": "m"}, "annotations": annotations})


class Held:
    """Engines that answer when they are told to."""

    def __init__(self) -> None:
        self.told = asyncio.Event()

    async def __call__(self, line: Line) -> None:
        while True:
            await line.request()
            await self.told.wait()
            await line.send(ok())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - what another process brings about has no event
            await asyncio.sleep(0.01)


async def answers(connections: list[Connection]) -> Counter[str]:
    """How the requests ended: with a status, or with their connection."""

    async def one(connection: Connection) -> str:
        try:
            message: Message = await connection.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            return "cut off"
        return message.start.decode()

    return Counter(await asyncio.gather(*(one(connection) for connection in connections)))


async def test_requests_of_all_workers_are_spread_as_one_process_would(tmp_path: Path) -> None:
    held = Held()
    async with engine(held, "a") as a, engine(held, "b") as b, world(tmp_path, a, b) as w:
        asked = []
        for number in range(12):  # one after the other, to any of the two workers
            asked.append(await w.ask())
            await until(lambda number=number: len(a.requests) + len(b.requests) == number + 1)  # type: ignore[misc]
        assert (len(a.requests), len(b.requests), w.active(), w.in_flight()) == (6, 6, 12, [6, 6])
        held.told.set()
        assert await answers(asked) == {"HTTP/1.1 200 OK": 12}
        await until(lambda: (w.active(), w.in_flight()) == (0, [0, 0]))
        assert sum(w.count("kubeai_inference_requests_total").values()) == 12


# fault P12
async def test_a_worker_that_is_killed_under_load_takes_its_counts_along_and_is_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    held = Held()
    async with engine(held, "a") as a, engine(held, "b") as b, world(tmp_path, a, b) as w:
        asked = [await w.ask() for _ in range(24)]
        await until(lambda: w.active() == 24)
        lost, survivor = w.pids()
        os.kill(lost, signal.SIGKILL)
        await until(lambda: w.active() < 24)
        left = w.active()
        assert sum(w.in_flight()) == left
        await until(lambda: len(w.pids()) == 2 and lost not in w.pids() and w.workers.unready_reason() is None)
        assert survivor in w.pids()
        await w.workers.wait_ready()
        held.told.set()
        assert await answers(asked) == Counter({"HTTP/1.1 200 OK": int(left), "cut off": 24 - int(left)})
        again = [await w.ask() for _ in range(24)]
        assert await answers(again) == {"HTTP/1.1 200 OK": 24}
        await until(lambda: (w.active(), w.in_flight()) == (0, [0, 0]))
        assert sum(w.count("kubeai_inference_requests_total").values()) == left + 24
    (line,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert line.getMessage() == "worker 0 ended by SIGKILL; another one takes its place"


# fault P4
async def test_draining_lets_all_workers_finish(tmp_path: Path) -> None:
    held = Held()
    async with engine(held, "a") as a, engine(held, "b") as b, world(tmp_path, a, b) as w:
        asked = [await w.ask() for _ in range(8)]
        await until(lambda: len(a.requests) + len(b.requests) == 8)
        draining = asyncio.create_task(w.workers.drain(PATIENCE_S))
        await until(lambda: refuses(w.workers.port))
        held.told.set()
        assert await answers(asked) == {"HTTP/1.1 200 OK": 8}
        await draining
        assert (w.pids(), w.active()) == ([], 0)


@pytest.mark.parametrize("steps", range(5))
async def test_draining_while_a_worker_is_about_to_start_is_no_error(steps: int) -> None:
    workers = Workers(1, WorkerOptions(system(), "default", None, False, False, "console", "WARNING"))
    await workers.start("127.0.0.1", 0)
    running = asyncio.create_task(workers.run())
    for _ in range(steps):
        await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE_S):
        await workers.drain(0.1)
        await running


async def test_workers_whose_parent_is_gone_finish_and_free_the_port(tmp_path: Path) -> None:
    async with engine(Held(), "a") as a, engine(Held(), "b") as b, world(tmp_path, a, b) as w:
        processes = [worker.process for worker in w.workers._workers]
        w.workers._draining = True  # else they would be replaced
        for process in processes:
            assert process is not None
            assert process.stdin is not None
            process.stdin.close()
        await until(lambda: w.pids() == [])


async def test_the_log_of_workers_goes_to_our_output_and_holds_nobody_up(tmp_path: Path) -> None:
    """More than any pipe or buffer on the way would keep."""
    path = b"/v1/" + b"x" * 3000
    ask = b"GET %b HTTP/1.1\r\nHost: g\r\n\r\n" % path
    log = tmp_path / "log"
    with output_to(log):
        async with world(tmp_path, access_log=True) as w:
            for _ in range(8):
                connection = await w.connect()
                for _ in range(50):
                    await connection.send(ask)
                    assert (await connection.read()).start == b"HTTP/1.1 404 Not Found"
            await until(lambda: log.read_bytes().count(b"\n") == 400)
    assert {json.loads(line)["path"] for line in log.read_text().splitlines()} == {path.decode()}


@contextlib.contextmanager
def output_to(path: Path) -> Iterator[None]:
    """Of this process and its children. pytest's capture loses what they write while it is read."""
    before = os.dup(1)
    with path.open("ab") as file:
        os.dup2(file.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(before, 1)
        os.close(before)


async def test_workers_that_come_when_the_keys_are_deleted_let_nobody_in(tmp_path: Path) -> None:
    """Decision 013: what has seen the keys stays shut, and all workers are one gateway."""
    async with engine(answering, "a") as a, world(tmp_path, a) as w:
        assert await statuses(w) == {"HTTP/1.1 200 OK"}
        keys = {"metadata": {"name": "kubeai-api-keys"}, "data": {"alice": SPOILED}}
        await w.client.create(SECRETS, keys)
        await until_answered(w, {"HTTP/1.1 401 Unauthorized"})
        await w.client.delete(SECRETS, "kubeai-api-keys")
        before = w.pids()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        await until(lambda: len(w.pids()) == 2 and not set(before) & set(w.pids()))
        await w.workers.wait_ready()
        assert await statuses(w) == {"HTTP/1.1 401 Unauthorized"}


async def test_workers_keep_a_limit_and_the_books_together(tmp_path: Path) -> None:
    async with engine(answering, "a") as a, world(tmp_path, a) as w:
        keys = secret(key("alice", requests_per_minute=1), key("bob")).data
        await w.client.create(SECRETS, {"metadata": {"name": "kubeai-api-keys"}, "data": keys})
        await until_answered(w, {"HTTP/1.1 401 Unauthorized"})
        alice = [(await answers([await w.ask(b"Bearer sk-alice")])) for _ in range(12)]
        assert sum(alice, Counter()) == {"HTTP/1.1 200 OK": 1, "HTTP/1.1 429 Too Many Requests": 11}
        bob = [await w.ask(b"Bearer sk-bob") for _ in range(24)]
        assert await answers(bob) == {"HTTP/1.1 200 OK": 24}
        await w.workers.drain(PATIENCE_S)
        month = await w.client.get(CONFIG_MAPS, f"kubeai-usage-{datetime.now(UTC):%Y-%m}")
    used = Counter[str]()
    for day in days_of(month["data"]).values():
        used.update({name: counts.requests for (name, _), counts in day.items() if name})
    assert used == {"alice": 1, "bob": 24}


#: Even a key that nobody can use guards the door.
SPOILED = base64.b64encode(b"{").decode()


async def answering(line: Line) -> None:
    while True:
        await line.request()
        await line.send(ok())


async def statuses(w: World) -> set[str]:
    """What both workers answer: of so many connections each gets some."""
    asked = [await w.ask() for _ in range(24)]
    try:
        return set(await answers(asked))
    finally:  # it is asked again and again, and files are not without number
        for connection in asked:
            w.connections.remove(connection)
            connection.writer.close()


async def until_answered(w: World, expected: set[str]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await statuses(w) != expected:
            pass


async def test_a_port_that_somebody_has_is_not_shared_with_him(tmp_path: Path) -> None:
    options = WorkerOptions(system(), "default", tmp_path / "none", False, False, "console", "WARNING")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            await Workers(2, options).start("127.0.0.1", taken.getsockname()[1])


DELAYS: dict[str, tuple[float, float, tuple[float, float]]] = {
    "an accident": (1.0, 3600.0, (0.0, 1.0)),
    "the first one that dies young": (0.0, 1.0, (0.0, 1.0)),
    "the next one": (1.0, 1.0, (1.0, 2.0)),
    "one of many": (30.0, 1.0, (30.0, 30.0)),
}


@pytest.mark.parametrize(("delay_s", "lived_s", "expected"), DELAYS.values(), ids=DELAYS.keys())
def test_a_successor_waits_the_longer_the_more_died_young(
    delay_s: float, lived_s: float, expected: tuple[float, float]
) -> None:
    assert next_delay_s(delay_s, lived_s) == expected


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except ConnectionRefusedError:
        return True
    return False
