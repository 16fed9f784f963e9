"""With a proxy that does mischief between gateway and engine, a client gets the right answer, an error, or a reset.

`make fuzz` sends more; the number is in KUBEAI_CHAOS_REQUESTS.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import random
from collections import Counter

import pytest

from kubeai.gateway.limits import Limits
from kubeai.routing.endpoint import Endpoint
from tests.unit.gateway.engine import Line, Script, engine, ok
from tests.unit.gateway.wire import Message, close
from tests.unit.gateway.world import World, until, within, world

from .chaos import ALL, HONEST, Chaos, Mischief, chaos

REQUESTS = int(os.environ.get("KUBEAI_CHAOS_REQUESTS", "300"))
CLIENTS = 16
LIMITS = Limits(sweep_interval_s=0.02, silence_timeout_s=0.4)
ERRORS = (502, 504)


def signing(chance: random.Random) -> Script:
    """Answers with a text and its sum, now with a length, now in chunks."""

    async def script(line: Line) -> None:
        while True:
            await line.request()
            text = chance.randbytes(chance.choice((0, 40, 2000, 50_000))).hex()
            body = json.dumps({"text": text, "sum": hashlib.sha256(text.encode()).hexdigest()}).encode()
            if chance.random() < 0.5:
                await line.send(ok(body))
                continue
            await line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for start in range(0, len(body), 999):
                piece = body[start : start + 999]
                await line.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            await line.send(b"0\r\n\r\n")

    return script


def right(answer: Message) -> bool:
    return bool(hashlib.sha256(answer.json["text"].encode()).hexdigest() == answer.json["sum"])


async def ask(w: World, honest: bool) -> str:
    """What became of one request."""
    connection = await w.connect()
    try:
        answer = await connection.ask()
    except (asyncio.IncompleteReadError, ConnectionError):
        return "cut off"
    finally:
        w.connections.remove(connection)
        await close(connection.writer)
    if honest and answer.status in ERRORS:
        assert set(answer.json) == {"error"}
        return "error"
    if honest:
        assert (answer.status, right(answer)) == (200, True)
    return "answered"


async def clients(w: World, honest: bool) -> Counter[str]:
    seen: Counter[str] = Counter()

    async def one() -> None:
        while seen.total() < REQUESTS:
            seen[await ask(w, honest)] += 1

    await asyncio.gather(*[one() for _ in range(CLIENTS)])
    return seen


KINDS = {"that leaves bytes as they are": HONEST, "of all kinds": ALL}


@pytest.mark.parametrize("kinds", KINDS.values(), ids=KINDS.keys())
async def test_mischief_becomes_an_answer_an_error_or_a_reset(
    kinds: tuple[Mischief, ...], caplog: pytest.LogCaptureFixture
) -> None:
    # fault P8, P12
    caplog.set_level(logging.CRITICAL)
    chance = random.Random(len(kinds))
    async with (
        world(limits=LIMITS) as w,
        engine(signing(chance)) as e,
        chaos(e.endpoint, chance, kinds) as first,
        chaos(e.endpoint, chance, kinds) as second,
    ):
        between(w, first, second)
        seen = await clients(w, honest=kinds is HONEST)
        print(f"{seen.total()} requests through chaos {dict(first.done + second.done)}: {dict(seen)}")
        assert seen["answered"] > REQUESTS // 3
        await until(w.at_rest)
        w.serve(e)  # and after all that everything is in order
        assert right(await within(w.ask()))


def between(w: World, *proxies: Chaos) -> None:
    """Make the proxies the endpoints."""
    ports = [proxy.port for proxy in proxies]
    endpoints = [Endpoint(f"e{port}", "127.0.0.1", port) for port in ports]
    w.balancer.set_group("m", endpoints, w.cluster.models["m"].spec.load_balancing)
