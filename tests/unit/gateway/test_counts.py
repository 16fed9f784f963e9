"""After any mix of clients and engines that fail, leave and stall, nothing is counted as running."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest

from kubeai.gateway.limits import Limits

from .engine import Line, engine, ok
from .world import Connection, World, chat, until, world

STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"


def moody(chance: random.Random) -> object:
    """An engine that does something else with each request."""

    async def script(line: Line) -> None:
        while True:
            await line.request()
            await asyncio.sleep(chance.random() * 0.01)
            mood = chance.randrange(8)
            if mood == 0:
                return
            if mood == 1:
                line.writer.transport.abort()
                return
            if mood == 2:
                await line.send(STREAM)
                return
            if mood == 3:
                await line.send(ok(b"busy", status=b"503 Unavailable"))
            elif mood == 4:
                await line.send(b"nonsense\r\n\r\n")
            elif mood == 5:
                await line.send(STREAM + b"0\r\n\r\n")
            elif mood == 6:
                await line.closed()
                return
            else:
                await line.send(ok())

    return script


async def visit(w: World, chance: random.Random) -> None:
    """One client: asks, and may leave at any moment."""
    client = await w.connect()
    for _ in range(3):
        await client.send(chat())
        mood = chance.randrange(5)
        if mood == 0:
            client.reset()
            return
        if mood == 1:
            await asyncio.sleep(chance.random() * 0.02)
            client.writer.close()
            return
        if not await answered(client):
            return


async def answered(client: Connection) -> bool:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        return (await client.read()).header(b"connection") != b"close"
    return False


@pytest.mark.parametrize("seed", range(4))
async def test_all_counts_are_zero_in_the_end(seed: int) -> None:
    # fault P12
    chance = random.Random(seed)
    limits = Limits(sweep_interval_s=0.02, silence_timeout_s=0.2)
    async with (
        world(limits=limits, waitTimeout=0.3) as w,
        engine(moody(chance), "a") as a,  # type: ignore[arg-type]
        engine(moody(chance), "b") as b,  # type: ignore[arg-type]
    ):
        w.serve(a, b)
        visits = [asyncio.ensure_future(visit(w, chance)) for _ in range(60)]
        for group in ((a,), (), (b,), (a, b)):
            await asyncio.sleep(0.05)
            w.serve(*group)
        await asyncio.gather(*visits)
        for connection in w.connections:
            connection.writer.close()
        await until(w.at_rest)
        await until(lambda: w.gateway.clients == 0)
        assert w.balancer.in_flight("m") == 0
