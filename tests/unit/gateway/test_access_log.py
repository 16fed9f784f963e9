"""A line for each request: who asked for what, where it was answered, and how long it took."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from kubeai.gateway.access_log import AccessLog
from kubeai.gateway.receiver import Request
from kubeai.gateway.watching import Ended
from kubeai.inference.call import Call
from tests.unit.access.keys import gate, key

from .engine import Line, answering, engine, ok
from .test_keys import ALICE, get
from .test_usage import ANSWER
from .world import World, chat, until, world

TIMES = ("duration_s", "first_byte_s")


class Written:
    """What was written, as objects."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.log = AccessLog(self.pieces.append, clock=lambda: 1_800_000_000.25)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in b"".join(self.pieces).splitlines()]

    async def one(self) -> dict[str, Any]:
        """The only line, without what differs from time to time."""
        await until(lambda: bool(self.pieces))
        (line,) = self.lines
        assert all(0 <= line.pop(name, 0) < 10 for name in TIMES)
        return line


async def test_what_a_line_tells() -> None:
    # fault R1
    written = Written()
    async with world(gate=gate(key()), watchers=[written.log]) as w, engine(answering(ok(ANSWER))) as e:
        w.serve(e)
        request = chat(b"/v1/chat/completions?secret=1", ALICE, b"X-Request-Id: r-1")
        answer = await w.send(request)
        assert await written.one() == {
            "time": "2027-01-15T08:00:00.250Z",
            "request_id": "r-1",
            "client": "127.0.0.1",
            "key": "alice",
            "method": "POST",
            "path": "/v1/chat/completions",
            "model": "m",
            "endpoint": "e1",
            "status": 200,
            "request_bytes": len(request.partition(b"\r\n\r\n")[2]),
            "response_bytes": len(answer.body) + _head_bytes(answer),
            "prompt_tokens": 5,
            "completion_tokens": 7,
        }
        assert e.requests[0].header(b"x-request-id") == answer.header(b"x-request-id") == b"r-1"


async def test_neither_bodies_nor_keys_are_written() -> None:
    written = Written()
    async with world(gate=gate(key()), watchers=[written.log]) as w, engine(answering(ok(b'{"said":"answer"}'))) as e:
        w.serve(e)
        messages = [{"role": "user", "content": "question"}]
        await w.send(chat(b"/v1/chat/completions", ALICE, messages=messages))
        await until(lambda: bool(written.pieces))
        text = b"".join(written.pieces)
        assert not any(word in text for word in (b"question", b"answer", b"sk-alice"))


async def test_what_the_gateway_answers_itself_is_told_too_but_not_its_probes() -> None:
    written = Written()
    async with world(gate=gate(key()), watchers=[written.log]) as w:
        for path in (b"/healthz", b"/readyz", b"/metrics?name[]=x", b"/v1/models", b"/nowhere"):
            await w.send(get(path))
        await w.send(b"GET / HTTP/1.1\r\nbad head\r\n\r\n")
        await until(lambda: len(written.lines) == 3)
        assert [(line["path"], line["status"]) for line in written.lines] == [
            ("/v1/models", 401),
            ("/nowhere", 404),
            ("", 400),
        ]


async def test_a_client_that_goes_away_is_told_from_an_answer() -> None:
    written = Written()
    reached = asyncio.Event()

    async def script(line: Line) -> None:
        await line.request()
        reached.set()
        await line.closed()

    async with world(watchers=[written.log]) as w, engine(script) as e:
        w.serve(e)
        client = await w.connect()
        await client.send(chat())
        await reached.wait()
        client.reset()
        line = await written.one()
        assert (line["status"], line["endpoint"]) == (499, "e1")


async def test_retries_and_failures_are_told() -> None:
    written = Written()
    busy = answering(ok(status=b"503 Busy"))
    async with world(watchers=[written.log]) as w, engine(busy) as bad, engine(answering(), "e2") as good:
        w.serve(bad, good)
        statuses = [(await w.ask()).status for _ in range(4)]
        await until(lambda: len(written.lines) == 4)
        assert statuses == [200] * 4
        assert {line["endpoint"] for line in written.lines} == {"e2"}
        assert any(line.get("retries") == 1 for line in written.lines)


async def test_an_answer_that_breaks_is_told() -> None:
    written = Written()

    async def script(line: Line) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")

    async with world(watchers=[written.log]) as w, engine(script) as e:
        w.serve(e)
        client = await w.connect()
        await client.send(chat())
        line = await written.one()
        assert line["status"] == 502


def test_lines_are_written_in_pieces_that_a_pipe_takes_whole() -> None:
    async def write() -> list[bytes]:
        written = Written()
        async with world(watchers=[written.log]) as w:
            await asyncio.gather(*[_ask(w, b"/%d" % number) for number in range(60)])
        return written.pieces

    pieces = asyncio.run(write())
    assert all(len(piece) <= 4096 and piece.endswith(b"\n") for piece in pieces)
    assert sum(piece.count(b"\n") for piece in pieces) == 60


class Failing:
    """Looks on, and fails."""

    def begins(self, request: Request, call: Call) -> None:
        raise ValueError("begins")

    def ended(self, end: Ended) -> None:
        raise ValueError("ended")

    async def close(self) -> None: ...


async def test_who_looks_on_and_fails_harms_no_request(caplog: pytest.LogCaptureFixture) -> None:
    async with world(watchers=[Failing()]) as w, engine() as e:
        w.serve(e)
        connection = await w.connect()
        assert [(await connection.ask()).status for _ in range(2)] == [200, 200]
    assert len(caplog.records) == 4


async def _ask(w: World, path: bytes) -> None:
    await w.send(get(path))


def _head_bytes(answer: Any) -> int:
    lines = [answer.start, *(name + b": " + value for name, value in answer.headers)]
    return sum(len(line) + 2 for line in lines) + 2
