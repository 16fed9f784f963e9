"""A manager that is told to stop while 200 streams run: a process of its own, on both API servers (fault P4)."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from kubeai.api.k8s.resources import LEASES, MODELS
from kubeai.app.run import LEASE
from kubeai.kube.access import ClusterAccess
from kubeai.kube.client import Client
from tests.builders import model_manifest
from tests.kubernetes.manager import Manager, manager
from tests.kubernetes.world import World, free_port

STREAMS = 200
DEADLINE_S = 110


class StreamingEngine:
    """Begins each answer at once, and ends it when it is told to."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[dict[str, str]]:
        """Gives the annotations that lead to it."""
        app = web.Application()
        app.add_routes([web.post("/v1/chat/completions", self._answer)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=STREAMS).start()
        yield {"model-pod-ip": "127.0.0.1", "model-pod-port": str(runner.addresses[0][1])}
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: begun\n\n")
        await self.may_end.wait()
        await response.write(b"data: more\n\n" * 10 + b"data: [DONE]\n\n")
        return response


class Streams:
    """All clients together."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._url = url
        self._http = http
        self._begun = 0
        self.all_begun = asyncio.Event()

    async def one(self) -> bytes:
        body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": True}
        async with self._http.post(f"{self._url}/openai/v1/chat/completions", json=body) as answer:
            text = await answer.content.readline()
            self._begun += 1
            if self._begun == STREAMS:
                self.all_begun.set()
            return text + await answer.read()


async def _released(client: Client) -> None:
    while (await client.get(LEASES, LEASE))["spec"]["holderIdentity"]:  # noqa: ASYNC110 - another process's work
        await asyncio.sleep(0.02)


async def _refused(url: str) -> None:
    """New connections are."""
    async with aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(f"{url}/healthz"):
                    await asyncio.sleep(0.02)
            except aiohttp.ClientConnectorError:
                return
            except aiohttp.ClientConnectionError:  # it was made, and nobody took it any more
                continue


async def _stop(running: Manager, url: str, health: str, client: Client) -> None:
    """Tell it to, and see all that must be while its streams go on."""
    running.signal(signal.SIGTERM)
    await _refused(url)
    async with aiohttp.ClientSession() as http, http.get(f"http://{health}/readyz") as answer:
        assert (answer.status, await answer.text()) == (503, "stopping")
    await _released(client)  # another one may lead at once


# fault P4
async def test_no_stream_is_cut(access: ClusterAccess, own_kubeconfig: Path, tmp_path: Path) -> None:
    engine, health = StreamingEngine(), f"127.0.0.1:{free_port()}"
    settings: dict[str, Any] = {"healthAddress": health, "gateway": {"drainTimeout": "60s"}}
    async with (
        asyncio.timeout(DEADLINE_S),
        Client(access) as client,
        World(client).watched(),
        manager(access, own_kubeconfig, tmp_path, **settings) as running,
        engine.running() as annotations,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
        asyncio.TaskGroup() as group,
    ):
        await running.says("leads: it holds Lease")
        await client.create(MODELS, model_manifest(metadata={"annotations": annotations}, minReplicas=1))
        await running.knows("m")
        streams = Streams(await running.url(), http)
        answers = [group.create_task(streams.one()) for _ in range(STREAMS)]
        await streams.all_begun.wait()

        await _stop(running, await running.url(), health, client)
        engine.may_end.set()
        whole = b"data: begun\n\n" + b"data: more\n\n" * 10 + b"data: [DONE]\n\n"
        assert [await answer for answer in answers] == [whole] * STREAMS
        assert await running.ended() == 0
