"""Statuses reach the API server however it fares."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kubeai.api.k8s.resources import PODS
from kubeai.embedded.apiserver import APIServer
from kubeai.embedded.node.logs import PodLogs
from kubeai.embedded.node.reporting import PodWriter
from kubeai.kube.access import token_access
from kubeai.kube.client import Client
from tests.unit.embedded.node.machine import JSONObject, manifest


class Bench:
    """A Pod and its writer, on an API server that can go away."""

    def __init__(self, server: APIServer, client: Client, uid: str) -> None:
        self.server = server
        self.client = client
        self.writer = PodWriter(client, "default", "p", uid)

    async def status(self) -> JSONObject:
        found: JSONObject = (await self.client.get(PODS, "p"))["status"]
        return found


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    server = APIServer(tmp_path, token="t", logs=PodLogs(tmp_path))
    await server.start()
    async with Client(token_access(server.url, "t")) as client:
        pod = await client.create(PODS, manifest("p"))
        made = Bench(server, client, pod["metadata"]["uid"])
        writing = asyncio.create_task(made.writer.run())
        yield made
        writing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writing
    await server.stop()


async def test_the_newest_status_is_what_is_written(bench: Bench) -> None:
    for phase in ("Pending", "Running"):
        bench.writer.report({"phase": phase})
    await bench.writer.flush(10)
    assert (await bench.status())["phase"] == "Running"


async def test_a_status_waits_for_an_api_server_that_is_away(bench: Bench) -> None:
    port = int(bench.server.url.rpartition(":")[2])
    await bench.server.stop()
    bench.writer.report({"phase": "Running"})
    await bench.writer.flush(0.01)
    await bench.server.start(port=port)
    await bench.writer.flush(10)
    assert (await bench.status())["phase"] == "Running"


async def test_another_pod_of_the_same_name_is_left_alone(bench: Bench) -> None:
    await bench.client.delete(PODS, "p", grace_period_s=0)
    await bench.client.create(PODS, manifest("p"))
    bench.writer.report({"phase": "Failed"})
    await bench.writer.flush(10)
    await bench.writer.finish()
    assert (await bench.status())["phase"] == "Pending"


async def test_a_pod_that_has_ended_goes_when_the_api_server_is_back_however_long_that_takes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubeai.embedded.node.reporting._RETRIES_S", (0.001, 0.01))
    port = int(bench.server.url.rpartition(":")[2])
    await bench.server.stop()
    finishing = asyncio.create_task(bench.writer.finish())
    await asyncio.wait([finishing], timeout=0.2)
    await bench.server.start(port=port)
    await asyncio.wait_for(finishing, 10)
    assert await bench.client.list(PODS) == []


async def test_a_pod_is_bound_with_where_its_server_really_is(bench: Bench) -> None:
    await bench.writer.bind("local", {"model-pod-port": "41000"})
    pod = await bench.client.get(PODS, "p")
    assert pod["spec"]["nodeName"] == "local"
    assert pod["metadata"]["annotations"] == {"model-pod-port": "41000"}
