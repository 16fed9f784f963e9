"""The API server goes away in the middle of everything, and comes back."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import msgspec
import pytest

from kubeai.api.k8s.objects import ConfigMap
from kubeai.api.k8s.resources import CONFIG_MAPS
from kubeai.kube.client import Client
from kubeai.kube.errors import ConnectionFailed
from kubeai.kube.informer import Informer
from scripts.kubernetes.api_server import APIServer
from tests.builders import config_map

pytestmark = pytest.mark.kubernetes
DEADLINE_S = 60


async def test_an_informer_misses_nothing(client: Client, real_server: APIServer) -> None:
    for name in ("stays", "goes"):
        await client.create(CONFIG_MAPS, config_map(name))
    informer: Informer[ConfigMap] = Informer(client, CONFIG_MAPS, msgspec.json.Decoder(ConfigMap).decode)
    told: list[tuple[str, str]] = []
    changed = asyncio.Event()

    def on_change(old: ConfigMap | None, new: ConfigMap | None) -> None:
        told.append(("gone" if new is None else "new" if old is None else "changed", (new or old or ConfigMap()).name))
        changed.set()

    async def until(holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not holds():
                changed.clear()
                await changed.wait()

    informer.on_change(on_change)
    running = asyncio.create_task(informer.run())
    try:
        await until(lambda: len(told) == 2)
        real_server.stop_api(signal.SIGKILL)
        with pytest.raises(ConnectionFailed):
            await client.list(CONFIG_MAPS)
        assert {obj.name for obj in informer.all()} == {"stays", "goes"}
        real_server.start_api()
        await client.delete(CONFIG_MAPS, "goes")
        await client.create(CONFIG_MAPS, config_map("comes"))
        await client.patch(CONFIG_MAPS, "stays", {"data": {"a": "1"}})
        await until(lambda: len(told) == 5)
        assert sorted(told[2:]) == [("changed", "stays"), ("gone", "goes"), ("new", "comes")]
    finally:
        running.cancel()
