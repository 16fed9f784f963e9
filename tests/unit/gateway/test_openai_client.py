"""OpenAI's own client against the gateway: its results, its streams, and its exceptions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageFunctionToolCall

from tests.builders import model
from tests.unit.access.keys import gate, key

from .engine import Line, answering, engine, ok
from .world import World, until, world


def chunk(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    event = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(event).encode() + b"\n\n"


ANSWER = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Paris"}}],
}


async def talk(line: Line) -> None:
    while True:
        request = await line.request()
        if not request.json.get("stream"):
            await line.send(ok(json.dumps(ANSWER).encode()))
            continue
        await line.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for event in (chunk("Pa"), chunk("ris"), b"data: [DONE]\n\n"):
            await line.send(b"%x\r\n%b\r\n" % (len(event), event))
        await line.send(b"0\r\n\r\n")


@asynccontextmanager
async def client(w: World) -> AsyncIterator[AsyncOpenAI]:
    url = f"http://127.0.0.1:{w.gateway.port}/openai/v1"
    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as sdk:
        yield sdk


async def test_chats_and_streams_arrive() -> None:
    async with world() as w, engine(talk) as e, client(w) as sdk:
        w.serve(e)
        whole = await sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])
        assert whole.choices[0].message.content == "Paris"
        stream = await sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}], stream=True)
        assert "".join([c.choices[0].delta.content or "" async for c in stream]) == "Paris"


async def test_models_are_listed() -> None:
    async with world() as w, client(w) as sdk:
        assert [m.id async for m in sdk.models.list()] == ["m"]


ERRORS: dict[str, tuple[dict[str, Any], type[openai.APIError]]] = {
    "an unknown model": ({"name": "x"}, openai.NotFoundError),
    "a model without the feature": ({"features": ["TextEmbedding"]}, openai.BadRequestError),
    "a model that does not get ready": ({}, openai.InternalServerError),
}


@pytest.mark.parametrize(("spec", "error"), ERRORS.values(), ids=ERRORS.keys())
async def test_errors_raise_the_clients_own_exceptions(spec: dict[str, Any], error: type[openai.APIError]) -> None:
    # fault P10
    async with world(model(**spec), waitTimeout=0.05) as w, client(w) as sdk:
        with pytest.raises(error) as caught:
            await sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])
        assert caught.value.message


KEYS: dict[str, tuple[str, dict[str, Any], type[openai.APIStatusError]]] = {
    "a key that is none": ("sk-eve", {}, openai.AuthenticationError),
    "a model that is not for the key": ("sk-alice", {"models": "team=b"}, openai.PermissionDeniedError),
    "a limit that is reached": ("sk-alice", {"requests_per_minute": 1}, openai.RateLimitError),
}


@pytest.mark.parametrize(("text", "rules", "error"), KEYS.values(), ids=KEYS.keys())
async def test_keys_raise_the_clients_own_exceptions(
    text: str, rules: dict[str, Any], error: type[openai.APIStatusError]
) -> None:
    # fault P15
    async with world(gate=gate(key(**rules))) as w, engine(talk) as e, client(w) as sdk:
        w.serve(e)
        with pytest.raises(error) as caught:
            await _ask_twice(sdk.with_options(api_key=text))
        assert isinstance(caught.value.body, dict)
        assert set(caught.value.body) == {"message", "type", "param", "code"}
        assert ("retry-after" in caught.value.response.headers) == (error is openai.RateLimitError)


async def _ask_twice(sdk: AsyncOpenAI) -> None:
    for _ in range(2):
        await sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])


CALL = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
                ],
            },
        }
    ],
}
TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
PARTS: Any = [
    {"type": "text", "text": "What is this?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
]


async def test_tools_and_images_reach_the_engine_and_calls_come_back() -> None:
    # fault P6
    async with world() as w, engine(answering(ok(json.dumps(CALL).encode()))) as e, client(w) as sdk:
        w.serve(e)
        answer = await sdk.chat.completions.create(
            model="m", messages=[{"role": "user", "content": PARTS}], tools=[TOOL], tool_choice="required"
        )
        calls = answer.choices[0].message.tool_calls
        call = calls[0] if calls else None
        assert isinstance(call, ChatCompletionMessageFunctionToolCall)
        assert json.loads(call.function.arguments) == {"city": "Paris"}
        (seen,) = e.requests
        assert seen.json["messages"] == [{"role": "user", "content": PARTS}]
        assert (seen.json["tools"], seen.json["tool_choice"]) == ([TOOL], "required")


async def test_a_sound_is_uploaded_whole() -> None:
    sound = bytes(range(256)) * 2000
    hearing = model(features=["SpeechToText"])
    async with world(hearing) as w, engine(answering(ok(b'{"text":"hello"}'))) as e, client(w) as sdk:
        w.serve(e)
        heard = await sdk.audio.transcriptions.create(model="m", file=("a.wav", sound), language="en")
        assert heard.text == "hello"
        assert sound in e.requests[0].body
        assert b'name="model"' not in e.requests[0].body


async def test_a_refusal_that_will_pass_is_tried_again_by_the_client() -> None:
    answers = [ok(b"{}", b"retry-after-ms: 5", status=b"429 Too Many Requests")] * 2 + [ok(json.dumps(ANSWER).encode())]

    async def script(line: Line) -> None:
        while answers:
            await line.request()
            await line.send(answers.pop(0))

    async with world() as w, engine(script) as e, client(w) as sdk:
        w.serve(e)
        patient = sdk.with_options(max_retries=2)
        answer = await patient.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])
        assert answer.choices[0].message.content == "Paris"
        assert len(e.requests) == 3


async def test_a_client_that_runs_out_of_patience_leaves_nothing_running() -> None:
    # fault P12
    async def silent(line: Line) -> None:
        await line.request()
        await line.closed()

    async with world() as w, engine(silent) as e, client(w) as sdk:
        w.serve(e)
        hasty = sdk.with_options(timeout=0.3)
        with pytest.raises(openai.APITimeoutError):
            await hasty.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])
        await until(w.at_rest)
