"""HTTP messages as bytes on a socket: written by hand in the tests, read by this."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Message:
    """A request or an answer as it came."""

    start: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    #: Sizes of the chunks, where it was chunked.
    chunks: list[int] = field(default_factory=list)
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)

    @property
    def status(self) -> int:
        return int(self.start.split(b" ")[1])

    @property
    def path(self) -> bytes:
        return self.start.split(b" ")[1]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of an error in OpenAI's shape."""
        assert self.header(b"content-type") == b"application/json"
        error = self.json["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return str(error["code"])

    def header(self, name: bytes) -> bytes | None:
        found = self.all(name)
        assert len(found) <= 1, f"{name!r} came {len(found)} times"
        return found[0] if found else None

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key.lower() == name]


async def read_message(reader: asyncio.StreamReader, *, bodiless: bool = False) -> Message:
    """Raises `IncompleteReadError` when the connection ends before the message."""
    message = await read_head(reader)
    if bodiless or message.start.split(b" ")[1] in (b"204", b"304", b"100"):
        return message
    length = message.header(b"content-length")
    if message.header(b"transfer-encoding") == b"chunked":
        await _read_chunks(reader, message)
    elif length is not None:
        message.body = await reader.readexactly(int(length))
    elif message.start.startswith(b"HTTP/"):
        message.body = await reader.read(-1)
    return message


async def read_head(reader: asyncio.StreamReader) -> Message:
    raw = await reader.readuntil(b"\r\n\r\n")
    start, *lines = raw[:-4].split(b"\r\n")
    return Message(start, [_field(line) for line in lines])


async def read_chunk(reader: asyncio.StreamReader) -> bytes:
    size = int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16)
    if size == 0:
        return b""
    data = await reader.readexactly(size + 2)
    assert data.endswith(b"\r\n")
    return data[:-2]


async def _read_chunks(reader: asyncio.StreamReader, message: Message) -> None:
    while chunk := await read_chunk(reader):
        message.chunks.append(len(chunk))
        message.body += chunk
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        message.trailers.append(_field(line[:-2]))


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name, value.strip()


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await writer.wait_closed()
    except (ConnectionError, TimeoutError):
        pass
