"""API keys from the command line to every gateway: made, used, revoked (fault P15)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry

from kubeai.api.k8s.resources import MODELS
from kubeai.app.wiring import ControlPlane
from kubeai.cli.keyring import Rules, create_key, revoke_key
from kubeai.kube.access import ClusterAccess
from kubeai.kube.client import Client
from kubeai.telemetry.registry import Metrics
from tests.builders import model_manifest, system

from .kubelet import Kubelet

SECRET = "kubeai-api-keys"
#: "Within seconds", on a machine that is busy with other tests.
SOON_S = 5.0
DEADLINE_S = 60.0
SYSTEM = system(allowPodAddressOverride=True, usage={"interval": "1h"})


class Gateway:
    """One of several over the same API server."""

    def __init__(self, plane: ControlPlane, http: aiohttp.ClientSession) -> None:
        self.plane = plane
        self._http = http

    async def status(self, key: str | None) -> int:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        url = f"http://127.0.0.1:{self.plane.gateway.port}/v1/models"
        async with self._http.get(url, headers=headers) as answer:
            return answer.status

    async def chat(self, key: str) -> int:
        url = f"http://127.0.0.1:{self.plane.gateway.port}/v1/chat/completions"
        body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
        headers = {"Authorization": f"Bearer {key}"}
        async with asyncio.timeout(DEADLINE_S), self._http.post(url, json=body, headers=headers) as answer:
            return answer.status

    async def usage(self, key: str) -> Any:
        url = f"http://127.0.0.1:{self.plane.gateway.port}/usage"
        async with self._http.get(url, headers={"Authorization": f"Bearer {key}"}) as answer:
            return (await answer.json())["total"]

    async def until(self, key: str | None, status: int) -> None:
        async with asyncio.timeout(SOON_S):
            while await self.status(key) != status:  # noqa: ASYNC110 - what a watch brings about has no event
                await asyncio.sleep(0.02)


@asynccontextmanager
async def gateway(access: ClusterAccess, http: aiohttp.ClientSession) -> AsyncIterator[Gateway]:
    async with Client(access) as client:
        plane = ControlPlane(client, SYSTEM, Metrics(CollectorRegistry()), instance="test")
        await plane.gateway.start("127.0.0.1", 0)
        tasks = [asyncio.create_task(part) for part in (plane.run(), Kubelet(client, plane.pods).run())]
        try:
            await plane.wait_ready()
            yield Gateway(plane, http)
        finally:
            await plane.gateway.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_key_is_good_and_revoked_on_all_gateways_within_seconds(access: ClusterAccess) -> None:
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        client = await stack.enter_async_context(Client(access))
        both = [await stack.enter_async_context(gateway(access, http)) for _ in range(2)]
        assert [await each.status(None) for each in both] == [200, 200]

        alice = (await create_key(client, SECRET, "alice", Rules())).key
        bob = (await create_key(client, SECRET, "bob", Rules())).key
        await asyncio.gather(*[each.until(None, 401) for each in both])
        await asyncio.gather(*[each.until(key, 200) for each in both for key in (alice, bob)])

        await revoke_key(client, SECRET, "alice")
        await asyncio.gather(*[each.until(alice, 401) for each in both])
        assert [await each.status(bob) for each in both] == [200, 200]

        await revoke_key(client, SECRET, "bob")
        await asyncio.gather(*[each.until(bob, 401) for each in both])
        assert [await each.status(None) for each in both] == [401, 401]
        # Who starts now finds the Secret empty, and is as strict.
        late = await stack.enter_async_context(gateway(access, http))
        assert await late.status(None) == 401


@asynccontextmanager
async def engine() -> AsyncIterator[dict[str, str]]:
    """A model server that tells its usage; gives the annotations that lead to it."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 3}})

    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield {"model-pod-ip": "127.0.0.1", "model-pod-port": str(runner.addresses[0][1])}
    await runner.cleanup()


async def test_usage_of_several_gateways_adds_up_and_survives_them(access: ClusterAccess) -> None:
    async with aiohttp.ClientSession() as http, Client(access) as client, engine() as annotations:
        await client.create(MODELS, model_manifest(metadata={"annotations": annotations}))
        key = (await create_key(client, SECRET, "alice", Rules())).key
        async with gateway(access, http) as one, gateway(access, http) as other:
            assert [await each.chat(key) for each in (one, other, other)] == [200, 200, 200]
        async with gateway(access, http) as later:
            async with asyncio.timeout(DEADLINE_S):
                while (await later.usage(key))["requests"] < 3:  # noqa: ASYNC110 - a watch brings it about
                    await asyncio.sleep(0.02)
            assert await later.usage(key) == {"requests": 3, "prompt_tokens": 6, "completion_tokens": 9}
