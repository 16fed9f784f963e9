"""Adapters that a server knows by number, put into the body for the endpoint that was chosen."""

from __future__ import annotations

import json

import pytest

from kubeai.inference.call import Call
from kubeai.inference.numbered import at_endpoint
from kubeai.inference.request import edited, model_edit
from tests.builders import endpoint, model


def call(body: bytes, adapter: str | None, engine: str = "LlamaCpp") -> Call:
    pieces = (body,) if adapter is None else edited(body, [model_edit(body, adapter)])
    asked = model("m", engine=engine, adapters=[{"name": name, "url": f"file:///{name}.gguf"} for name in "abc"])
    size = sum(len(piece) for piece in pieces)
    return Call(asked, adapter, f"m_{adapter}", "http", b"1", b"/v1/completions", b"", pieces, size, "")


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        pytest.param(
            b'{"model": "m_b", "prompt": "x"}',
            b'{"model": "b", "prompt": "x","lora":[{"id":1,"scale":1.0}]}',
            id="usual",
        ),
        pytest.param(b'{"model":"m_b"}', b'{"model":"b","lora":[{"id":1,"scale":1.0}]}', id="nothing else"),
        pytest.param(b' {"model":"m_b"} \n', b' {"model":"b","lora":[{"id":1,"scale":1.0}]}', id="space around it"),
        pytest.param(
            b'{"a":{"b":"}"},"model":"m_b"}',
            b'{"a":{"b":"}"},"model":"b","lora":[{"id":1,"scale":1.0}]}',
            id="braces in it",
        ),
    ],
)
def test_the_number_is_put_at_the_end(body: bytes, sent: bytes) -> None:
    found = at_endpoint(call(body, "b"), endpoint("e", "a", "b", "c"))
    assert b"".join(found.body) == sent
    assert found.size == len(sent)
    assert json.loads(sent)["lora"] == [{"id": 1, "scale": 1.0}]


def test_a_client_cannot_choose_another() -> None:
    found = at_endpoint(call(b'{"lora":[{"id":0,"scale":9}],"model":"m_c"}', "c"), endpoint("e", "a", "b", "c"))
    assert json.loads(b"".join(found.body))["lora"] == [{"id": 2, "scale": 1.0}]


def test_the_number_is_that_of_the_endpoint() -> None:
    found = at_endpoint(call(b'{"model":"m_c"}', "c"), endpoint("e", "a", "c"))
    assert json.loads(b"".join(found.body))["lora"] == [{"id": 1, "scale": 1.0}]


@pytest.mark.parametrize(
    ("adapter", "engine"), [pytest.param(None, "LlamaCpp", id="no adapter"), pytest.param("b", "VLLM", id="by name")]
)
def test_all_others_stay_as_they_are(adapter: str | None, engine: str) -> None:
    before = call(b'{"model":"m_b"}', adapter, engine)
    assert at_endpoint(before, endpoint("e", "a", "b")) is before
