"""A watch as a client sees it, event by event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec

from kubeai.api.k8s.resources import CONFIG_MAPS, Resource
from kubeai.kube.client import Client

_TIMEOUT_S = 60


class Watch:
    """A watch that is open."""

    def __init__(self, lines: AsyncIterator[bytes]) -> None:
        self._lines = lines

    async def next(self) -> tuple[str, dict[str, Any]]:
        async with asyncio.timeout(_TIMEOUT_S):
            event = msgspec.json.decode(await anext(self._lines))
        return event["type"], event["object"]

    async def named(self, count: int) -> list[tuple[str, str]]:
        """Type and name of the next events."""
        events = [await self.next() for _ in range(count)]
        return [(type, obj["metadata"].get("name", "")) for type, obj in events]

    async def until(self, test: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next object that passes the test."""
        while True:
            type, obj = await self.next()
            if type in ("ADDED", "MODIFIED") and test(obj):
                return obj

    async def until_type(self, wanted: str) -> dict[str, Any]:
        """The object of the next event of this type."""
        while True:
            type, obj = await self.next()
            if type == wanted:
                return obj

    async def ended(self) -> bool:
        async with asyncio.timeout(_TIMEOUT_S):
            return await anext(self._lines, None) is None


#: Opens a watch in the client's namespace, with these parameters.
OpenWatch = Callable[..., AbstractAsyncContextManager[Watch]]


def opener(client: Client, resource: Resource = CONFIG_MAPS) -> OpenWatch:
    @asynccontextmanager
    async def opened(**params: str) -> AsyncIterator[Watch]:
        path = resource.path(client.namespace)
        async with client.transport.open("GET", path, params={"watch": "true"} | params) as answer:
            yield Watch(aiter(answer.content))

    return opened
