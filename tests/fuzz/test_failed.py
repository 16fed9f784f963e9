"""What a fuzzer finds is not lost: it comes into the corpus, and an answer that is wrong is seen without the fuzzer."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from kubeai.api.openai.document import openapi
from tests.unit.gateway.wire import Message

from .corpus import failed, remember
from .described import faults
from .hunt import by_chance
from .surface import failed_requests

URL = "http://127.0.0.1:1"


def event(label: str, *cases: tuple[str, str, dict[str, Any]]) -> str:
    """As schemathesis reports a scenario: checks and requests by the names of their cases."""
    names = [f"case{number}" for number in range(len(cases))]
    checks = {
        name: [{"name": "not_a_server_error", "status": "success"}, {"name": check, "status": status}]
        for name, (check, status, _) in zip(names, cases, strict=True)
    }
    interactions = {name: {"request": request} for name, (_, _, request) in zip(names, cases, strict=True)}
    recorder = {"label": label, "checks": checks, "interactions": interactions}
    return json.dumps({"ScenarioFinished": {"recorder": recorder}})


def post(body: bytes, target: str = "/v1/x?a=b%20c") -> dict[str, Any]:
    encoded = {"$base64": base64.b64encode(body).decode()}
    return {"method": "POST", "uri": URL + target, "headers": {"Content-Type": ["a/b"]}, "body": encoded}


GET: dict[str, Any] = {"method": "GET", "uri": f"{URL}/v1/x", "headers": {}, "body": None}


def test_of_the_requests_that_fail_a_check_the_smallest_is_taken() -> None:
    events = [
        json.dumps({"Initialize": {"seed": 1}}),
        json.dumps({"ScenarioFinished": {"status": "skip", "recorder": {"label": "GET /v1/y"}}}),
        event("POST /v1/x", ("status", "failure", post(b"long")), ("status", "success", post(b""))),
        event("POST /v1/x", ("status", "failure", post(b"hi")), ("schema", "failure", post(b"hi"))),
        event("GET /v1/x", ("status", "failure", GET)),
    ]
    assert failed_requests(events) == [
        b"POST /v1/x?a=b%20c HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Length: 2\r\n\r\nhi",
        b"GET /v1/x HTTP/1.1\r\nHost: h\r\n\r\n",
    ]


def test_what_did_harm_is_kept_once_and_for_ever(tmp_path: Path) -> None:
    remember("x", [b"a", bytes(100_000)], tmp_path)
    remember("x", [b"b", b"a"], tmp_path)
    assert failed("x", tmp_path) == [b"a", bytes(100_000), b"b"]


def test_the_smallest_input_that_hypothesis_finds_is_kept(tmp_path: Path) -> None:
    def no_equals_sign(data: bytes) -> None:
        assert b"=" not in data

    with pytest.raises(AssertionError):
        by_chance("selectors", no_equals_sign, 0, tmp_path)
    (kept,) = failed("selectors", tmp_path)
    assert b"=" in kept


CHAT = b"POST /openai/v1/chat/completions HTTP/1.1\r\n\r\n"
ERROR = b'{"error":{"message":"m","type":"t","param":null,"code":"c"}}'


def answer(status: int, body: bytes = ERROR, media: bytes = b"application/json", allow: bytes = b"") -> Message:
    fields = [(b"content-type", media)] + ([(b"allow", allow)] if allow else [])
    return Message(b"HTTP/1.1 %d X" % status, fields, body)


ANSWERS: dict[str, tuple[bytes, Message, list[str]]] = {
    "an error in its form": (CHAT, answer(404), []),
    "an answer of the engine": (CHAT, answer(200, b"anything"), []),
    "a method that is not there": (b"PUT /openai/v1/models HTTP/1.1\r\n\r\n", answer(405, allow=b"GET, HEAD"), []),
    "another path": (b"GET /other HTTP/1.1\r\n\r\n", answer(404), []),
    "a fault of the server": (CHAT, answer(500), ["a fault of the server: 500"]),
    "an unknown status": (CHAT, answer(302), ["a status that is not described: 302"]),
    "an error as a text": (
        CHAT,
        answer(400, media=b"text/plain"),
        ["a media type that is not described: text/plain"],
    ),
    "an error without a code": (
        CHAT,
        answer(400, b'{"error":{"message":1,"type":"t","param":null}}'),
        ["body.error has no 'code'", "body.error.message is no string: 1"],
    ),
    "a model of another kind": (
        b"GET /openai/v1/models/m HTTP/1.1\r\n\r\n",
        answer(200, b'{"id":"m","object":"o","created":1,"owned_by":"","features":["a",2]}'),
        ["body.object is not 'model': 'o'", "body.features[1] is no string: 2"],
    ),
    "a method that is served all the same": (
        b"PUT /openai/v1/models HTTP/1.1\r\n\r\n",
        answer(200),
        ["not refused with Allow: ['GET'] but with 200 and ['']"],
    ),
}


@pytest.mark.parametrize(("request_", "said", "expected"), ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_is_held_to_the_document(request_: bytes, said: Message, expected: list[str]) -> None:
    assert faults(openapi(), request_, said) == expected
