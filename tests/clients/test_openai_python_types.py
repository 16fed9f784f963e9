"""Tool calls and answers in a form, by OpenAI's own library for Python, as values of the caller's own types.

The engine is a real one. A model as small as this one calls no tool by itself, but llama.cpp holds it to the form of a
call (or of an answer) where one is required.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import openai
import pytest
from pydantic import BaseModel

pytestmark = pytest.mark.clients


class City(StrEnum):
    OSLO = "Oslo"
    PARIS = "Paris"
    ROME = "Rome"


class GetWeather(BaseModel):
    """Tell the weather in a city."""

    city: City


class Zone(StrEnum):
    UTC = "UTC"
    CET = "CET"


class GetTime(BaseModel):
    """Tell the time in a zone."""

    zone: Zone


class Capital(BaseModel):
    city: City
    big: bool


#: A question -> the call that it makes. Which of several tools to call is beyond the model: it is offered one.
CALLS: dict[str, BaseModel] = {
    "What is the weather in Paris?": GetWeather(city=City.PARIS),
    "What is the weather in Rome?": GetWeather(city=City.ROME),
    "What time is it in UTC?": GetTime(zone=Zone.UTC),
}


def asked(question: str, tool: type[BaseModel]) -> Any:
    tools = [openai.pydantic_function_tool(tool)]
    return {"model": "tools", "messages": said(question), "tools": tools, "tool_choice": "required", "max_tokens": 200}


def said(question: str) -> Any:
    return [{"role": "user", "content": question}]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("question", "expected"), CALLS.items(), ids=CALLS)
def test_a_tool_is_called(client: openai.OpenAI, question: str, expected: BaseModel, streamed: bool) -> None:
    request = asked(question, type(expected))
    if streamed:
        with client.chat.completions.stream(**request) as stream:
            kinds = [event.type for event in stream]
            answer = stream.get_final_completion()
        assert kinds.count("tool_calls.function.arguments.delta") > 3
    else:
        answer = client.chat.completions.parse(**request)
    (choice,) = answer.choices
    calls = choice.message.tool_calls or []
    assert (choice.finish_reason, calls[0].function.parsed_arguments) == ("tool_calls", expected)
    assert calls[0].id


def test_a_tools_result_goes_back_to_the_model(client: openai.OpenAI) -> None:
    request = asked("What is the weather in Paris?", GetWeather)
    called = client.chat.completions.parse(**request).choices[0].message
    (call,) = called.tool_calls or []
    request["messages"] += [called, {"role": "tool", "tool_call_id": call.id, "content": "snow"}]
    weather: Any = {"type": "json_schema", "json_schema": {"name": "weather", "schema": {"enum": ["sun", "snow"]}}}
    answer = client.chat.completions.create(**request | {"tool_choice": "none", "response_format": weather})
    assert answer.choices[0].message.content == '"snow"'


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_response_calls_a_tool(client: openai.OpenAI, streamed: bool) -> None:
    tool = {"type": "function", **openai.pydantic_function_tool(GetWeather)["function"]}
    request: Any = {
        "model": "tools",
        "input": "What is the weather in Paris?",
        "tools": [tool],
        "tool_choice": "required",
        "max_output_tokens": 100,
    }
    if streamed:
        with client.responses.stream(**request) as stream:
            kinds = [event.type for event in stream]
            answer: Any = stream.get_final_response()
        assert kinds.count("response.function_call_arguments.delta") > 3
    else:
        answer = client.responses.create(**request)
    (item,) = answer.output
    assert (item.type, item.name) == ("function_call", "GetWeather")
    assert GetWeather.model_validate_json(item.arguments) == GetWeather(city=City.PARIS)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_an_answer_in_a_form(client: openai.OpenAI, streamed: bool) -> None:
    request: Any = {
        "model": "smollm2",
        "messages": said("What is the capital of France?"),
        "response_format": Capital,
        "max_tokens": 60,
    }
    if streamed:
        with client.chat.completions.stream(**request) as stream:
            assert [event.type for event in stream].count("content.delta") > 3
            answer: Any = stream.get_final_completion()
    else:
        answer = client.chat.completions.parse(**request)
    parsed = answer.choices[0].message.parsed
    assert isinstance(parsed, Capital)
    assert parsed.city is City.PARIS
