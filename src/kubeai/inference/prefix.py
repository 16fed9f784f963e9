"""The text that a request begins with: what PrefixHash sends to the replica that has it in its cache.

Only Models with that strategy pay for it. Whatever the body holds, this never fails (fault P9): the engine is the one
to refuse a prompt that it does not understand.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .request import DECODE_ERRORS, Body


class _Message(msgspec.Struct):
    role: Any = None
    content: Any = None


class _Chat(msgspec.Struct):
    messages: list[_Message] | None = None


class _Prompt(msgspec.Struct):
    prompt: Any = None


class _Input(msgspec.Struct):
    input: Any = None


class _Query(msgspec.Struct):
    query: Any = None


class _Pair(msgspec.Struct):
    text_1: Any = None


_chat = msgspec.json.Decoder(_Chat)
_prompt = msgspec.json.Decoder(_Prompt)
_input = msgspec.json.Decoder(_Input)
_query = msgspec.json.Decoder(_Query)
_pair = msgspec.json.Decoder(_Pair)


def prefix_text(kind: str, body: Body, length: int) -> str:
    """The first `length` characters of the first user message or of the (first) prompt; "" where there is no text.

    `kind` is a route's (`api.openai.routes`).
    """
    try:
        return _text(kind, body, length)[:length]
    except DECODE_ERRORS:
        return ""


def _text(kind: str, body: Body, length: int) -> str:
    match kind:
        case "chat" | "message":
            return _first_user_text(_chat.decode(body).messages or [])
        case "response":
            return _response_text(_input.decode(body).input)
        case "completion":
            return _first(_prompt.decode(body).prompt, length)
        case "embedding":
            return _first(_input.decode(body).input, length)
        case "rerank":
            return _first(_query.decode(body).query, length)
        case "score":
            return _first(_pair.decode(body).text_1, length)
        case _:
            return ""


def _first_user_text(messages: list[_Message]) -> str:
    content = next((m.content for m in messages if m.role == "user"), None)
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(_part_text(part) for part in content)
    return ""


def _response_text(value: object) -> str:
    """The input of a response is a text, or a list of which some items are messages."""
    if isinstance(value, str):
        return value
    items = value if isinstance(value, list) else []
    return _first_user_text([msgspec.convert(item, _Message) for item in items if isinstance(item, dict)])


def _part_text(part: object) -> str:
    """Parts that are images, sounds or files have no text."""
    text = part.get("text") if isinstance(part, dict) else None
    return text if isinstance(text, str) else ""


def _first(value: object, length: int) -> str:
    """A prompt is a text, the ids of its tokens, or a list of either."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not value:
        return ""
    if isinstance(value[0], int):
        return " ".join(str(token) for token in value[:length])
    return _first(value[0], length)
