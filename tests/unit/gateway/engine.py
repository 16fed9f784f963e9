"""A model server on a real socket that does exactly what a test tells it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from kubeai.routing.endpoint import Endpoint
from tests.unit.listening import listening

from .wire import Message, close, read_message

Script = Callable[["Line"], Awaitable[None]]


def ok(body: bytes = b'{"ok":true}', *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """A complete answer with its length."""
    lines = [b"HTTP/1.1 " + status, b"content-type: application/json", b"content-length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@dataclass
class Line:
    """One connection from the gateway, seen from the engine."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    #: Set when the gateway has closed it.
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def request(self) -> Message:
        return await read_message(self.reader)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def closed(self) -> None:
        """Wait until the gateway has closed the connection."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass


@dataclass
class Engine:
    """A listening engine; every request that it read is in `requests`."""

    script: Script
    name: str = "e1"
    requests: list[Message] = field(default_factory=list)
    connections: int = 0
    #: Connections that the gateway closed.
    ended: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    endpoint: Endpoint = field(init=False)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        line = Line(reader, writer)
        original = line.request

        async def noted() -> Message:
            message = await original()
            self.requests.append(message)
            return message

        line.request = noted  # type: ignore[method-assign]
        try:
            await self.script(line)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            await close(writer)
            self.ended.put_nowait(None)


def answering(answer: bytes | None = None) -> Script:
    """Answers every request alike, over kept connections."""

    async def script(line: Line) -> None:
        while True:
            await line.request()
            await line.send(ok() if answer is None else answer)

    return script


@asynccontextmanager
async def engine(script: Script | None = None, name: str = "e1", *adapters: str) -> AsyncIterator[Engine]:
    """A running engine; ends with the block, its connections too."""
    served = Engine(script or answering(), name)
    async with listening(served.handle) as port:
        served.endpoint = Endpoint(name, "127.0.0.1", port, frozenset(adapters))
        yield served
