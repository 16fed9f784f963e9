"""What OpenAI's library for JavaScript does by itself: tool calls, retries and time-outs.

The gateway is a real one, and the engine does what it is told: a model as small as the other tests' calls tools only
when it must.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.unit.access.keys import gate, key
from tests.unit.gateway.engine import Line, engine, ok
from tests.unit.gateway.wire import Message
from tests.unit.gateway.world import World, chat, until, world

from .conftest import SOURCES

pytestmark = pytest.mark.clients

CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}}
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def whole(message: dict[str, Any], reason: str) -> bytes:
    choice = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": None} | message}
    answer = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return ok(json.dumps(answer).encode())


def streamed(*deltas: dict[str, Any], reason: str) -> bytes:
    said = [({"role": "assistant"} | deltas[0], None), *((delta, None) for delta in deltas[1:]), ({}, reason)]
    data = b""
    for delta, ended in said:
        choice = {"index": 0, "finish_reason": ended, "delta": delta}
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        event = b"data: " + json.dumps(chunk).encode() + b"\n\n"
        data += b"%x\r\n%b\r\n" % (len(event), event)
    return STREAM + data + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


RAIN = whole({"content": "It rains."}, "stop")
#: As engines tell it: the call begins with its name, and its arguments come bit by bit.
BITS: list[dict[str, Any]] = [
    {"tool_calls": [{"index": 0} | CALL | {"function": {"name": "get_weather", "arguments": ""}}]},
    *({"tool_calls": [{"index": 0, "function": {"arguments": bit}}]} for bit in ('{"ci', 'ty":"Par', 'is"}')),
]


async def calls_tools(line: Line) -> None:
    while True:
        asked = (await line.request()).json
        answered = asked["messages"][-1]["role"] == "tool"
        if asked.get("stream"):
            call = streamed(*BITS, reason="tool_calls")
            await line.send(streamed({"content": "It "}, {"content": "rains."}, reason="stop") if answered else call)
        else:
            await line.send(RAIN if answered else whole({"tool_calls": [CALL]}, "tool_calls"))


async def javascript(w: World, modules: Path, what: str) -> Any:
    url = f"http://127.0.0.1:{w.gateway.port}/openai/v1"
    script = str(SOURCES / "patience.js")
    pipe = asyncio.subprocess.PIPE
    environment = os.environ | {"NODE_PATH": str(modules)}
    node = await asyncio.create_subprocess_exec("node", script, url, what, env=environment, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(60):
            out, err = await node.communicate()
    finally:
        if node.returncode is None:
            node.kill()
            await node.wait()
    assert node.returncode == 0, err.decode()
    return json.loads(out)


def tries(requests: list[Message]) -> list[bytes | None]:
    """What the library says of each request: how many there were of it before."""
    return [request.header(b"x-stainless-retry-count") for request in requests]


@pytest.mark.parametrize("what", ["tools", "tools in a stream"])
async def test_a_tool_is_called_and_its_result_comes_back(modules: Path, what: str) -> None:
    async with world() as w, engine(calls_tools) as e:
        w.serve(e)
        assert await javascript(w, modules, what) == {"asked": ["Paris"], "answer": "It rains."}
        first, second = [request.json for request in e.requests]
        assert [tool["function"]["name"] for tool in first["tools"]] == ["get_weather"]
        assert second["messages"][1]["tool_calls"][0]["function"] == CALL["function"]
        assert second["messages"][2] == {"role": "tool", "tool_call_id": "call_1", "content": "rain"}


#: What the library is told to do -> what comes back, and how often it asked before its request reached the engine.
LIMITED: dict[str, tuple[dict[str, Any], list[bytes | None]]] = {
    "a retry": ({"answer": "It rains."}, [None, b"1"]),
    "no retry": ({"error": "RateLimitError", "status": 429}, [None]),
}


@pytest.mark.parametrize(("what", "result", "reached"), [(what, *case) for what, case in LIMITED.items()])
async def test_a_limit_that_is_reached_is_waited_for(
    modules: Path, what: str, result: dict[str, Any], reached: list[bytes | None]
) -> None:
    free = asyncio.Event()

    async def one_after_the_other(line: Line) -> None:
        await line.request()
        await free.wait()
        await line.send(RAIN)

    refused = {"status": "429", "request_model": "m"}
    async with world(gate=gate(key(concurrency=1))) as w, engine(one_after_the_other) as e:
        w.serve(e)
        other = await w.connect()
        await other.send(chat(b"/v1/chat/completions", b"Authorization: Bearer sk-alice"))
        await until(lambda: len(e.requests) == 1)
        asked = asyncio.create_task(javascript(w, modules, what))
        async with asyncio.timeout(30):
            while not w.sample("kubeai_inference_requests_total", **refused):  # noqa: ASYNC110 - node is no event
                await asyncio.sleep(0.01)
        free.set()
        assert (await other.read()).status == 200
        assert (await asked, tries(e.requests)) == (result, reached)


async def test_a_time_out_ends_the_engines_work(modules: Path) -> None:
    # fault P12
    async def works(line: Line) -> None:
        await line.request()
        await line.closed()

    async with world() as w, engine(works) as e:
        w.serve(e)
        result = await javascript(w, modules, "a time-out")
        assert result == {"error": "APIConnectionTimeoutError", "status": None}
        await until(lambda: not e.ended.empty())
        assert len(e.requests) == 1
