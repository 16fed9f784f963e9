"""Traffic of all kinds at once: clients and engines that behave, fail, leave, stall and talk nonsense."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from .corpus import answers, requests
from .engine import Line, Script, ok
from .world import Connection, World, chat

STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"

_ANSWERS = [case.data for case in answers()]
_REQUESTS = [case.data for case in requests()]


Mood = Callable[[Line, random.Random], Awaitable[bool]]


async def content(line: Line, _: random.Random) -> bool:
    await line.send(ok())
    return True


async def streaming(line: Line, _: random.Random) -> bool:
    await line.send(STREAM + b"0\r\n\r\n")
    return True


async def slow(line: Line, chance: random.Random) -> bool:
    await asyncio.sleep(chance.random() * 0.02)
    await line.send(ok(b"x" * chance.randrange(200_000)))
    return True


async def busy(line: Line, _: random.Random) -> bool:
    await line.send(ok(b"busy", status=b"503 Unavailable"))
    return True


async def crashing(line: Line, _: random.Random) -> bool:
    line.writer.transport.abort()
    return False


async def breaking_off(line: Line, _: random.Random) -> bool:
    await line.send(STREAM)
    return False


async def babbling(line: Line, chance: random.Random) -> bool:
    await line.send(chance.choice(_ANSWERS))
    return False


async def silent(line: Line, _: random.Random) -> bool:
    await line.closed()
    return False


#: Each tells whether the connection goes on.
MOODS: tuple[Mood, ...] = (
    *(content,) * 10,
    *(streaming,) * 6,
    *(slow, busy, busy, crashing, breaking_off, babbling, babbling),
)


def moody(chance: random.Random, moods: Sequence[Mood] = MOODS) -> Script:
    """An engine that does something else with each request, and mostly answers. One in a hundred gets no answer."""

    async def script(line: Line) -> None:
        await line.request()
        while await (silent if chance.random() < 0.01 else chance.choice(moods))(line, chance):
            await line.request()

    return script


Visit = Callable[[Connection, random.Random], Awaitable[int]]


async def ask(client: Connection, chance: random.Random) -> int:
    count = chance.randrange(1, 8)
    for done in range(count):
        await client.send(chat(stream=chance.random() < 0.5))
        if (await client.read()).header(b"connection") == b"close":
            return done + 1
    return count


async def pipeline(client: Connection, chance: random.Random) -> int:
    count = chance.randrange(2, 8)
    await client.send(*[chat() for _ in range(count)])
    for _ in range(count):
        await client.read()
    return count


async def look(client: Connection, chance: random.Random) -> int:
    path = chance.choice([b"/v1/models", b"/healthz", b"/openapi.json", b"/v1/models/x", b"/nothing"])
    await client.send(b"GET " + path + b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    await client.rest()
    return 1


async def upload(client: Connection, chance: random.Random) -> int:
    body = chat(text="x" * chance.randrange(300_000)).partition(b"\r\n\r\n")[2]
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    await client.send(head, b"%x\r\n" % len(body), body, b"\r\n0\r\n\r\n")
    await client.read()
    return 1


async def end_early(client: Connection, chance: random.Random) -> int:
    await client.send(chat())
    client.end()
    await client.rest()
    return 1


async def leave(client: Connection, chance: random.Random) -> int:
    data = chat()
    await client.send(data[: chance.randrange(len(data) + 1)])
    await asyncio.sleep(chance.random() * 0.01)
    if chance.random() < 0.5:
        client.reset()
    return 1


async def babble(client: Connection, chance: random.Random) -> int:
    data = bytearray(chance.choice(_REQUESTS))
    if chance.random() < 0.5:
        data[chance.randrange(len(data))] = chance.randrange(256)
    await client.send(bytes(data))
    client.end()
    await client.rest()
    return 1


VISITS: tuple[Visit, ...] = (ask, ask, ask, pipeline, look, upload, end_early, leave, babble)


async def traffic(w: World, chance: random.Random, requests: int, clients: int = 24) -> Counter[str]:
    """At least so many requests, sent by so many clients at a time. Returns how often each kind of visit was made."""
    seen: Counter[str] = Counter()

    async def visitor() -> None:
        while seen.total() < requests:
            visit = chance.choice(VISITS)
            seen[visit.__name__] += await _visited(w, visit, chance)

    await asyncio.gather(*[visitor() for _ in range(clients)])
    return seen


async def _visited(w: World, visit: Visit, chance: random.Random) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", w.gateway.port)
    count = 1
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        count = await visit(Connection(reader, writer), chance)
    writer.close()
    with contextlib.suppress(ConnectionError, TimeoutError):
        await writer.wait_closed()
    return count
