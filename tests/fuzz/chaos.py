"""A proxy between gateway and engine that cuts, stalls, drips and corrupts what the engine says."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from kubeai.routing.endpoint import Endpoint
from tests.unit.gateway.wire import close
from tests.unit.listening import listening

Mischief = Literal["none", "cut", "reset", "stall", "drip", "corrupt", "double", "drop"]
#: What leaves the bytes that arrive as they were.
HONEST: Sequence[Mischief] = ("none", "none", "none", "cut", "reset", "stall", "drip")
ALL: Sequence[Mischief] = (*HONEST, "corrupt", "double", "drop")


@dataclass
class Chaos:
    """Each connection meets with one mischief, somewhere in what the engine sends."""

    chance: random.Random
    kinds: Sequence[Mischief]
    engine: Endpoint
    port: int = 0
    done: Counter[str] = field(default_factory=Counter)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self.engine.host, self.engine.port)
        asking = asyncio.ensure_future(self._forward(reader, back))
        try:
            await self._answer(there, writer)
        except ConnectionError:
            pass
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await close(back)
            await close(writer)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(OSError):  # the gateway is gone: so is its request
            writer.write_eof()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kind, left = self._plan()
        while data := await reader.read(65536):
            if left < len(data):
                self.done[kind] += 1
                goes_on = await self._mischief(kind, data, left, writer)
                if not goes_on:
                    return
                kind, left = self._plan()
            else:
                left -= len(data)
                writer.write(data)
            await writer.drain()

    def _plan(self) -> tuple[Mischief, int]:
        """What will happen next, and after how many bytes."""
        return self.chance.choice(self.kinds), self.chance.randrange(self.chance.choice((10, 150, 400, 3000, 100_000)))

    async def _mischief(self, kind: Mischief, data: bytes, at: int, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection goes on."""
        if kind in ("cut", "reset", "stall"):
            writer.write(data[:at])
            await writer.drain()
            if kind == "reset":
                writer.transport.abort()
            elif kind == "stall":
                await writer.wait_closed()
            return False
        if kind == "none":
            writer.write(data)
        elif kind == "drip":
            for position in range(0, min(len(data), 600), 7):
                writer.write(data[position : position + 7])
                await asyncio.sleep(0)
            writer.write(data[min(len(data), 600 + -600 % 7) :])
        else:
            writer.write(_corrupted(kind, data, at, self.chance))
        return True


def _corrupted(kind: Mischief, data: bytes, at: int, chance: random.Random) -> bytes:
    if kind == "corrupt":
        return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
    if kind == "double":
        return data[:at] + data[max(0, at - 20) :]
    return data[:at] + data[at + 5 :]


@asynccontextmanager
async def chaos(engine: Endpoint, chance: random.Random, kinds: Sequence[Mischief]) -> AsyncIterator[Chaos]:
    """Listens on its `port`."""
    proxy = Chaos(chance, kinds, engine)
    async with listening(proxy.handle) as proxy.port:
        yield proxy
