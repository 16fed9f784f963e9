"""Streams that wait for their model: comments until it answers, and an error that fits into what has begun."""

from __future__ import annotations

import asyncio
import gc
import json
from typing import Any

import openai
import pytest

from kubeai.gateway.heartbeat import Heartbeat
from tests.builders import model

from .engine import Line, Script, answering, engine, ok
from .test_access_log import Written
from .world import Connection, World, chat, until, within, world

COMMENT = b": the model is not ready yet\n\n"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
HELLO = EVENTS + b"d\r\ndata: hello\n\n\r\n0\r\n\r\n"


async def waiting(w: World, *headers: bytes, path: bytes = b"/v1/chat/completions", **fields: Any) -> Connection:
    connection = await w.connect()
    await connection.send(chat(path, *headers, **({"stream": True} | fields)))
    await until(lambda: w.balancer.waiting("m") == 1)
    return connection


async def begun(connection: Connection) -> None:
    head = await connection.read_head()
    assert (head.status, head.header(b"content-type")) == (200, b"text/event-stream")
    assert await connection.read_chunk() == COMMENT


async def rest(connection: Connection) -> bytes:
    data = b""
    while chunk := await connection.read_chunk():
        data += chunk
    assert await within(connection.reader.readline()) == b"\r\n"
    return data.replace(COMMENT, b"")


async def test_a_client_that_asks_for_it_is_told_that_it_still_waits() -> None:
    async with world(streamHeartbeat=0.02) as w, engine(answering(HELLO)) as e:
        client = await waiting(w)
        await begun(client)
        assert [await client.read_chunk() for _ in range(3)] == [COMMENT] * 3
        w.serve(e)
        assert await rest(client) == b"data: hello\n\n"
        again = await client.ask(stream=True)  # the connection is good for more
        assert again.body.replace(COMMENT, b"") == b"data: hello\n\n"


async def test_a_stream_that_begins_in_time_is_as_it_is() -> None:
    async with world(streamHeartbeat=5) as w, engine(answering(HELLO)) as e:
        w.serve(e)
        answer = await w.ask(stream=True)
        assert (answer.body, answer.header(b"cache-control")) == (b"data: hello\n\n", None)


QUIET: dict[str, tuple[float, list[bytes], dict[str, Any]]] = {
    "without configuration": (0, [], {}),
    "without a stream": (0.01, [], {"stream": False}),
    "a request that wants none": (0.01, [b"X-KubeAI-Stream-Heartbeat: 0"], {}),
}


@pytest.mark.parametrize(("interval", "headers", "fields"), QUIET.values(), ids=QUIET.keys())
async def test_nothing_is_said_to_others(interval: float, headers: list[bytes], fields: dict[str, Any]) -> None:
    async with world(streamHeartbeat=interval) as w, engine() as e:
        client = await waiting(w, *headers, **fields)
        await asyncio.sleep(0.05)
        w.serve(e)
        assert (await client.read()).body == b'{"ok":true}'


async def test_a_request_may_ask_for_it_by_itself() -> None:
    async with world() as w, engine(answering(HELLO)) as e:
        client = await waiting(w, b"X-KubeAI-Stream-Heartbeat: 1")
        assert (await client.read_head()).status == 200
        assert await client.read_chunk() == COMMENT
        w.serve(e)
        assert await rest(client) == b"data: hello\n\n"
        assert e.requests[0].header(b"x-kubeai-stream-heartbeat") is None


@pytest.mark.parametrize("said", [b"soon", b"-1", b"601"])
async def test_an_interval_that_is_none_is_refused(said: bytes) -> None:
    async with world() as w:
        answer = await w.send(chat(b"/v1/completions", b"X-KubeAI-Stream-Heartbeat: " + said, stream=True))
        assert answer.status == 400


def error_in(data: bytes) -> Any:
    assert data.endswith(b"\n\n")
    (line,) = [line for line in data.splitlines() if line.startswith(b"data: ")]
    return json.loads(line.removeprefix(b"data: "))


async def test_a_start_that_fails_is_an_event() -> None:
    # fault P10
    async with world(streamHeartbeat=0.02, waitTimeout=0.6) as w:
        client = await waiting(w)
        await begun(client)
        error = error_in(await rest(client))["error"]
        assert (error["type"], error["code"]) == ("server_error", "no_capacity")
        assert (await client.ask()).status == 503
        assert w.sample("kubeai_inference_requests_total", status="503") == 2


async def test_a_start_that_fails_is_an_event_of_anthropics_api_too() -> None:
    async with world(streamHeartbeat=0.02, waitTimeout=0.6) as w:
        client = await waiting(w, path=b"/anthropic/v1/messages")
        await begun(client)
        data = await rest(client)
        assert data.startswith(b"event: error\n")
        assert error_in(data)["error"]["type"] == "overloaded_error"


ANSWERS: dict[str, tuple[Script, str]] = {
    "an error of the engine": (
        answering(ok(b'{"error":\n{"message":"too long","code":"x"}}', status=b"400 Bad Request")),
        "too long",
    ),
    "an error in chunks": (
        answering(b"HTTP/1.1 404 Nope\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnope\r\n0\r\n\r\n"),
        "did not answer with a stream",
    ),
    "no stream": (answering(ok(b'{"choices":[]}')), "did not answer with a stream"),
    "no HTTP": (answering(b"hello\r\n\r\n"), "may have crashed"),
}


@pytest.mark.parametrize(("script", "message"), ANSWERS.values(), ids=ANSWERS.keys())
async def test_an_answer_that_is_no_stream_is_an_event(script: Script, message: str) -> None:
    async with world(streamHeartbeat=0.02) as w, engine(script) as e:
        client = await waiting(w)
        await begun(client)
        w.serve(e)
        assert message in error_in(await rest(client))["error"]["message"]


NOT_OK = answering(ok(b'{"error":{"message":"x"}}', status=b"500 Internal Server Error"))
#: What the engine does -> the status that is logged, and whether it answered at all.
LOGGED: dict[str, tuple[Script | None, int, bool]] = {
    "a stream": (answering(HELLO), 200, True),
    "an error": (NOT_OK, 500, True),
    "no stream": (answering(ok(b'{"choices":[]}')), 502, True),
    "nothing": (None, 503, False),
}


@pytest.mark.parametrize(("script", "status", "answers"), LOGGED.values(), ids=LOGGED.keys())
async def test_what_is_logged_is_the_engines_answer(script: Script | None, status: int, answers: bool) -> None:
    written = Written()
    wait_s = 30 if answers else 0.5
    async with (
        world(streamHeartbeat=0.02, waitTimeout=wait_s, watchers=[written.log]) as w,
        engine(script or NOT_OK) as e,
    ):
        client = await waiting(w)
        await begun(client)
        if answers:  # in its own time, not that of the first comment
            assert [await client.read_chunk() for _ in range(5)] == [COMMENT] * 5
            w.serve(e)
        await rest(client)
        await until(lambda: bool(written.pieces))
        (line,) = written.lines
        assert (line["status"], line.get("first_byte_s", 0) > 0.1) == (status, answers)


async def test_a_stream_that_breaks_off_does_not_pass_for_a_whole_one() -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(EVENTS + b"d\r\ndata: hello\n\n\r\n")

    async with world(streamHeartbeat=0.02) as w, engine(script) as e:
        client = await waiting(w)
        await begun(client)
        w.serve(e)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await rest(client)


async def test_a_stop_is_an_event() -> None:
    # fault P4
    async with world(streamHeartbeat=0.02) as w:
        client = await waiting(w)
        await begun(client)
        await within(w.gateway.drain(0.05))
        assert error_in(await rest(client))["error"]["code"] == "shutting_down"
        assert await client.rest() == b""


async def test_a_stop_before_the_first_beat_leaves_none() -> None:
    async with world(streamHeartbeat=0.2) as w:
        client = await waiting(w)
        await within(w.gateway.drain(0.01))
        assert (await client.read()).status == 503
        await until(w.at_rest)
        gc.collect()
        assert not [each for each in gc.get_objects() if isinstance(each, Heartbeat)]


async def test_a_client_that_leaves_is_waited_for_no_more() -> None:
    # fault P12
    async with world(streamHeartbeat=0.02) as w:
        client = await waiting(w)
        await begun(client)
        client.reset()
        await until(lambda: w.balancer.waiting("m") == 0)


async def test_openais_client_waits_and_raises() -> None:
    async with (
        world(model(replicas=0), streamHeartbeat=0.02, waitTimeout=0.6) as w,
        openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{w.gateway.port}/v1", api_key="none", max_retries=0) as sdk,
    ):
        stream = await sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}], stream=True)
        with pytest.raises(openai.APIError, match="was not ready within"):
            async for _ in stream:
                pass
