"""Malformed and ambiguous HTTP from `tests/data/http`, over real sockets, from both sides."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from .corpus import Case, answers, requests
from .engine import Line, engine
from .wire import Message
from .world import Connection, World, chat, until, world

#: How many bytes are sent at a time.
STEPS = (100_000, 1)


async def deliver(connection: Connection, data: bytes, step: int) -> None:
    for start in range(0, len(data), step):
        await connection.send(data[start : start + step])
        await asyncio.sleep(0)


async def all_answers(connection: Connection, count: int) -> Sequence[Message]:
    return [await connection.read() for _ in range(count)]


@pytest.mark.parametrize("case", requests(), ids=lambda case: case.name)
async def test_a_request_is_read_in_one_way_only(case: Case) -> None:
    expected: list[int] = case.says["answers"]
    async with world(maxBodyBytes=10_000) as w, engine() as e:
        w.serve(e)
        for step in STEPS:
            connection = await w.connect()
            await deliver(connection, case.data, step)
            seen = await all_answers(connection, len(expected))
            assert [answer.status for answer in seen] == expected
            await ends(connection, seen[-1])
        assert len(e.requests) == len(STEPS) * case.says.get("reach", 0)
        assert not any("smuggled" in repr(request) for request in e.requests)


async def ends(connection: Connection, last: Message) -> None:
    """Nothing more comes: the connection is closed, or still good for a request of its own."""
    if last.header(b"connection") == b"close":
        assert await connection.rest() == b""
        return
    await connection.send(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (await connection.read()).body == b"ok"


async def outcome(w: World, case: Case) -> bytes | int:
    """The body that came, or the status of the error; 0 for an answer that was cut off."""
    connection = await w.connect()
    await connection.send(chat())
    try:
        answer = await connection.read()
    except (asyncio.IncompleteReadError, ConnectionError):
        return 0
    assert "smuggled" not in repr(answer)
    if answer.status >= 500:
        return answer.status
    await ends(connection, answer)
    return answer.body


@pytest.mark.parametrize("case", answers(), ids=lambda case: case.name)
@pytest.mark.parametrize("step", STEPS, ids=["at once", "byte by byte"])
async def test_an_answer_is_read_in_one_way_only(case: Case, step: int) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await deliver(Connection(line.reader, line.writer), case.data, step)

    async with world() as w, engine(script) as e:
        w.serve(e)
        got = await outcome(w, case)
        if "body" in case.says:
            assert got == case.says["body"].encode()
        elif case.says.get("begun"):
            # A body that was malformed from its first read on may be noticed before anything was passed on.
            assert got in (0, 502)
        else:
            assert got == 502
        await until(w.at_rest)
