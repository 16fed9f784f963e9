"""Two small real proxies: SOCKS5 (RFC 1928, with passwords) and HTTP's CONNECT. They note where they led to."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.unit.listening import listening

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Proxy:
    #: Where every connection leads, whatever is asked for: names mean something to the proxy alone.
    target_port: int
    #: For SOCKS5: what the client has to say, if anything.
    password: str = ""
    led_to: list[str] = field(default_factory=list)
    port: int = 0

    @asynccontextmanager
    async def running(
        self, greet: Callable[[Proxy, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    ) -> AsyncIterator[Proxy]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.closing(writer), contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await greet(self, reader, writer)
                target = await asyncio.open_connection("127.0.0.1", self.target_port)
                with contextlib.closing(target[1]):
                    await asyncio.gather(pipe(reader, target[1]), pipe(target[0], writer))

        async with listening(serve) as self.port:
            yield self


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


async def socks5(proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    _, count = await reader.readexactly(2)
    methods = await reader.readexactly(count)
    if proxy.password and 2 not in methods:
        writer.write(b"\x05\xff")
        raise ConnectionError
    if proxy.password:
        writer.write(b"\x05\x02")
        _, size = await reader.readexactly(2)
        user = await reader.readexactly(size)
        password = await reader.readexactly((await reader.readexactly(1))[0])
        good = (user, password) == (b"user", proxy.password.encode())
        writer.write(b"\x01\x00" if good else b"\x01\x01")
        if not good:
            raise ConnectionError
    else:
        writer.write(b"\x05\x00")
    _, _, _, kind = await reader.readexactly(4)
    if kind == 3:
        host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
    else:
        host = str(ipaddress.ip_address(await reader.readexactly(4 if kind == 1 else 16)))
    port = int.from_bytes(await reader.readexactly(2), "big")
    proxy.led_to.append(f"{host}:{port}")
    writer.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")


async def connect(proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    method, target, _ = head.splitlines()[0].split()
    assert method == "CONNECT"
    proxy.led_to.append(target)
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
