"""The text that PrefixHash hashes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubeai.inference.prefix import prefix_text

TEXTS: dict[str, tuple[str, Any, str]] = {
    "the first user message": (
        "chat",
        {"messages": [{"role": "system", "content": "no"}, {"role": "user", "content": "yes"}]},
        "yes",
    ),
    "all text parts of it, joined": (
        "chat",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "a"},
                        {"type": "image_url", "image_url": {"url": "data:"}},
                        {"type": "text", "text": "b"},
                    ],
                }
            ]
        },
        "ab",
    ),
    "a prompt": ("completion", {"prompt": "abc"}, "abc"),
    "the first of several prompts": ("completion", {"prompt": ["abc", "def"]}, "abc"),
    "the ids of a tokenized prompt": ("completion", {"prompt": [1, 22, 3]}, "1 22 3"),
    "the first of several tokenized prompts": ("completion", {"prompt": [[1, 2], [3]]}, "1 2"),
    "the input of an embedding": ("embedding", {"input": ["abc", "def"]}, "abc"),
    "the query of a reranking": ("rerank", {"query": "abc", "documents": []}, "abc"),
    "the input of a response": ("response", {"input": "abc"}, "abc"),
    "the first user message in it": (
        "response",
        {
            "input": [
                {"type": "reasoning", "id": "r"},
                {"role": "developer", "content": "no"},
                {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_image"}]},
                {"role": "user", "content": "no"},
            ]
        },
        "a",
    ),
    "a message in Anthropic's form": (
        "message",
        {"system": "no", "messages": [{"role": "user", "content": [{"type": "text", "text": "abc"}]}]},
        "abc",
    ),
    "the input of an embedding as tokens": ("embedding", {"input": [[1, 2], [3]]}, "1 2"),
    "one side of a comparison": ("score", {"text_1": "abc", "text_2": ["d"]}, "abc"),
    "code points, not bytes, up to the length": ("completion", {"prompt": "äöü" * 10}, "äöüäöüäöüä"),
}


@pytest.mark.parametrize(("kind", "body", "text"), TEXTS.values(), ids=TEXTS.keys())
def test_the_text_is_the_beginning_of_what_the_user_says(kind: str, body: Any, text: str) -> None:
    assert prefix_text(kind, json.dumps(body).encode(), 10) == text


WITHOUT_TEXT: dict[str, tuple[str, Any]] = {
    "no messages": ("chat", {}),
    "messages that are null": ("chat", {"messages": None}),
    "no user message": ("chat", {"messages": [{"role": "system", "content": "a"}]}),
    "content that is null": ("chat", {"messages": [{"role": "user", "content": None}]}),
    "no content": ("chat", {"messages": [{"role": "user"}]}),
    "only an image": ("chat", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
    "parts that are no objects": ("chat", {"messages": [{"role": "user", "content": [1, None, ["a"]]}]}),
    "text that is no text": ("chat", {"messages": [{"role": "user", "content": [{"text": 1}]}]}),
    "a message that is no object": ("chat", {"messages": ["hi"]}),
    "messages that are no list": ("chat", {"messages": "hi"}),
    "no prompt": ("completion", {}),
    "an empty list of prompts": ("completion", {"prompt": []}),
    "a prompt that is an object": ("completion", {"prompt": {"a": 1}}),
    "the input of a response that is null": ("response", {"input": None}),
    "items of a response that are no objects": ("response", {"input": ["a", 1]}),
    "a response without a message": ("response", {"input": [{"type": "function_call_output", "output": "a"}]}),
    "a comparison of nothing": ("score", {"text_1": []}),
    "a route without text": ("transcription", {}),
}


@pytest.mark.parametrize(("kind", "body"), WITHOUT_TEXT.values(), ids=WITHOUT_TEXT.keys())
def test_a_request_without_text_has_an_empty_prefix(kind: str, body: Any) -> None:
    # fault P9
    assert prefix_text(kind, json.dumps(body).encode(), 100) == ""


def test_a_body_that_is_no_json_has_an_empty_prefix() -> None:
    assert prefix_text("chat", b"--boundary\r\n", 100) == ""
