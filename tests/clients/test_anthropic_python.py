"""Anthropic's own library for Python, against an engine that speaks its API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import Instance

pytestmark = pytest.mark.clients
anthropic = pytest.importorskip("anthropic", reason="run by `make test-clients`, which installs it")

QUESTION: Any = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture
def client(kubeai: Instance) -> Iterator[Any]:
    with anthropic.Anthropic(base_url=f"{kubeai.url}/anthropic", api_key="none", timeout=100, max_retries=0) as client:
        yield client


def test_a_message(client: Any) -> None:
    answer = client.messages.create(model="tools", messages=QUESTION, max_tokens=20)
    assert answer.content[0].text
    assert answer.usage.output_tokens > 0


def test_a_stream(client: Any) -> None:
    with client.messages.stream(model="tools", messages=QUESTION, max_tokens=20) as stream:
        assert len(list(stream.text_stream)) > 2


def test_tokens_are_counted(client: Any) -> None:
    assert client.messages.count_tokens(model="tools", messages=QUESTION).input_tokens > 5


WEATHER: Any = {
    "name": "get_weather",
    "description": "Tell the weather in a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"enum": ["Oslo", "Paris", "Rome"]}},
        "required": ["city"],
    },
}


def test_a_tool_is_called(client: Any) -> None:
    request: Any = {
        "model": "tools",
        "messages": [{"role": "user", "content": "What is the weather in Paris?"}],
        "max_tokens": 100,
        "tools": [WEATHER],
        "tool_choice": {"type": "any"},
    }
    with client.messages.stream(**request) as stream:
        streamed = stream.get_final_message()
    for answer in (client.messages.create(**request), streamed):
        (block,) = answer.content
        called = (answer.stop_reason, block.type, block.name, block.input)
        assert called == ("tool_use", "tool_use", "get_weather", {"city": "Paris"})


def test_errors_are_the_librarys_own(client: Any) -> None:
    # fault P10
    with pytest.raises(anthropic.NotFoundError, match="nobody"):
        client.messages.create(model="nobody", messages=QUESTION, max_tokens=20)
    with pytest.raises(anthropic.BadRequestError, match="TextGeneration"):
        client.messages.create(model="vectors", messages=QUESTION, max_tokens=20)
