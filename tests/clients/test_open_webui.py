"""The calls that Open WebUI makes: written down by us, because it is an application and no library."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

pytestmark = pytest.mark.clients

HEADERS = {
    "Authorization": "Bearer none",
    "Content-Type": "application/json",
    "X-OpenWebUI-User-Name": "A%20User",
    "X-OpenWebUI-User-Id": "1",
    "X-OpenWebUI-User-Role": "admin",
}
CHAT: dict[str, Any] = {
    "stream": True,
    "model": "smollm2",
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
    "stream_options": {"include_usage": True},
    "max_tokens": 20,
}


async def test_it_looks_for_models(base_url: str) -> None:
    async with aiohttp.ClientSession(headers=HEADERS) as session, session.get(f"{base_url}/models") as answer:
        listed = await answer.json()
    assert {"smollm2", "tools"} <= {model["id"] for model in listed["data"]}


async def test_it_streams_a_chat(base_url: str) -> None:
    text, done = "", False
    async with (
        aiohttp.ClientSession(headers=HEADERS) as session,
        session.post(f"{base_url}/chat/completions", data=json.dumps(CHAT)) as answer,
    ):
        assert "text/event-stream" in answer.headers["Content-Type"]
        async for line in answer.content:
            data = line.decode().removeprefix("data: ").strip()
            done = done or data == "[DONE]"
            if data and data != "[DONE]":
                for choice in json.loads(data)["choices"]:
                    text += choice["delta"].get("content") or ""
    assert ("Paris" in text, done) == (True, True)


async def test_it_asks_for_a_title_and_for_tags(base_url: str) -> None:
    task = CHAT | {"stream": False, "messages": [{"role": "user", "content": "### Task:\nA title of five words."}]}
    task.pop("stream_options")
    async with (
        aiohttp.ClientSession(headers=HEADERS) as session,
        session.post(f"{base_url}/chat/completions", json=task | {"max_completion_tokens": 20}) as answer,
    ):
        assert (await answer.json())["choices"][0]["message"]["content"]


async def test_it_embeds_documents(base_url: str) -> None:
    body = {"input": ["one", "two", "three"], "model": "vectors"}
    async with (
        aiohttp.ClientSession(headers=HEADERS) as session,
        session.post(f"{base_url}/embeddings", json=body) as answer,
    ):
        assert len((await answer.json())["data"]) == 3


async def test_it_shows_an_error(base_url: str) -> None:
    async with (
        aiohttp.ClientSession(headers=HEADERS) as session,
        session.post(f"{base_url}/chat/completions", json=CHAT | {"model": "nobody"}) as answer,
    ):
        assert (answer.status, "error" in await answer.json()) == (404, True)
