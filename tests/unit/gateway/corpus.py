"""The corpus of malformed HTTP in `tests/data/http`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

DIRECTORY = Path(__file__).parents[2] / "data" / "http"

_HOST = "Host: h\r\n"
_BODY = '{"model":"m"}'
_CHAT = f"POST /v1/chat/completions HTTP/1.1\r\n{_HOST}"
_WORDS = {
    "{whole}": f"{_CHAT}Content-Length: {len(_BODY)}\r\n\r\n{_BODY}",
    "{chat}": _CHAT,
    "{host}": _HOST,
    "{body}": _BODY,
    "{ok}": "HTTP/1.1 200 OK\r\n",
}


@dataclass(frozen=True)
class Case:
    name: str
    data: bytes
    #: What else the file says.
    says: dict[str, Any] = field(hash=False)


def requests() -> list[Case]:
    return _read("requests.yaml")


def answers() -> list[Case]:
    return _read("answers.yaml")


def _read(file: str) -> list[Case]:
    cases = yaml.safe_load((DIRECTORY / file).read_text(encoding="utf-8"))
    return [Case(each.pop("name"), _bytes(each.pop("send")), each) for each in cases]


def _bytes(text: str) -> bytes:
    for word, meaning in _WORDS.items():
        text = text.replace(word, meaning)
    return text.encode("utf-8")
