"""LangChain, which many applications stand on."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any, Literal

import pytest

pytestmark = pytest.mark.clients
langchain = pytest.importorskip("langchain_openai", reason="run by `make test-clients`, which installs it")

QUESTION = "What is the capital of France?"


def chat(base_url: str, model: str) -> Any:
    return langchain.ChatOpenAI(
        base_url=base_url, api_key="none", model=model, max_tokens=60, timeout=100, max_retries=0
    )


def test_a_question(base_url: str) -> None:
    assert "Paris" in chat(base_url, "smollm2").invoke(QUESTION).content


def test_a_stream(base_url: str) -> None:
    pieces = [piece.content for piece in chat(base_url, "smollm2").stream(QUESTION)]
    assert len(pieces) > 3
    assert "Paris" in "".join(pieces)


def test_a_batch(base_url: str) -> None:
    answers = chat(base_url, "smollm2").batch([QUESTION, QUESTION])
    assert ["Paris" in answer.content for answer in answers] == [True, True]


def get_weather(city: Literal["Oslo", "Paris", "Rome"]) -> str:
    """Tell the weather in a city."""
    return f"{city}: sunny"


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_tool_is_called(base_url: str, streamed: bool) -> None:
    model = chat(base_url, "tools").bind_tools([get_weather], tool_choice="any")
    question = "What is the weather in Paris?"
    answer = reduce(add, model.stream(question)) if streamed else model.invoke(question)
    (call,) = answer.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Paris"})


def test_an_answer_in_a_form(base_url: str) -> None:
    schema = {
        "title": "City",
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Rome"]}},
        "required": ["city"],
    }
    asked = chat(base_url, "smollm2").with_structured_output(schema, method="json_schema")
    assert asked.invoke(QUESTION)["city"] in ("Paris", "Rome")


def test_embeddings(base_url: str) -> None:
    embeddings = langchain.OpenAIEmbeddings(
        base_url=base_url, api_key="none", model="vectors", check_embedding_ctx_length=False
    )
    assert [len(vector) for vector in embeddings.embed_documents(["Paris", "London"])] == [576, 576]
