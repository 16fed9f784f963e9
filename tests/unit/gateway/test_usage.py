"""Usage over a real socket: what engines, clients and those who ask for it see."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.builders import model
from tests.unit.access.keys import gate, key

from .engine import Line, answering, engine, ok
from .test_keys import ALICE, get
from .world import World, chat, until, world

BOB = b"Authorization: Bearer sk-bob"
ANSWER = b'{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}'


def chunked(*pieces: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


SAID = b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}\n\n'
DONE = b"data: [DONE]\n\n"


async def usage(w: World, *headers: bytes, query: bytes = b"") -> Any:
    return (await w.send(get(b"/usage" + query, *headers))).json


async def test_a_whole_answer_is_counted_by_key_and_model() -> None:
    async with world(gate=gate(key(), key("bob"))) as w, engine(answering(ok(ANSWER))) as e:
        w.serve(e)
        for header in (ALICE, ALICE, BOB):
            assert (await w.send(chat(b"/v1/chat/completions", header))).body == ANSWER
        report = await usage(w, ALICE)
        assert [(line["key"], line["model"]) for line in report["data"]] == [("alice", "m")]
        assert report["total"] == {"requests": 2, "prompt_tokens": 10, "completion_tokens": 14}
        labels = {"key": "bob", "request_model": "m"}
        assert w.sample("kubeai_usage_requests_total", **labels) == 1
        assert w.sample("kubeai_usage_tokens_total", kind="completion", **labels) == 7
        assert w.sample("kubeai_inference_tokens_total", request_model="m", kind="prompt") == 15


async def test_a_stream_is_asked_for_its_usage_which_the_client_does_not_get_to_see() -> None:
    async with world(gate=gate(key())) as w, engine(answering(chunked(SAID, USAGE, DONE))) as e:
        w.serve(e)
        request = chat(b"/v1/chat/completions", ALICE, b"Accept-Encoding: gzip", stream=True)
        assert (await w.send(request)).body == SAID + DONE
        sent = e.requests[0]
        assert json.loads(sent.body)["stream_options"] == {"include_usage": True}
        assert sent.header(b"accept-encoding") is None
        assert (await usage(w, ALICE))["total"] == {"requests": 1, "prompt_tokens": 5, "completion_tokens": 7}


async def test_a_client_that_asks_for_usage_gets_it() -> None:
    async with world(gate=gate(key())) as w, engine(answering(chunked(SAID, USAGE, DONE))) as e:
        w.serve(e)
        options = {"include_usage": True}
        request = chat(b"/v1/chat/completions", ALICE, stream=True, stream_options=options)
        assert (await w.send(request)).body == SAID + USAGE + DONE
        assert (await usage(w, ALICE))["total"]["completion_tokens"] == 7


async def test_a_client_that_asks_for_usage_and_leaves_before_it_comes_is_counted() -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(chunked(SAID, SAID, SAID).removesuffix(b"0\r\n\r\n"))
        await line.closed()

    async with world(gate=gate(key())) as w, engine(script) as e:
        w.serve(e)
        client = await w.connect()
        options = {"include_usage": True}
        await client.send(chat(b"/v1/chat/completions", ALICE, stream=True, stream_options=options))
        await client.read_head()
        got = b""
        while len(got) < 3 * len(SAID):
            got += await client.read_chunk()
        client.reset()
        await until(w.at_rest)
        assert (await usage(w, ALICE))["total"] == {"requests": 1, "prompt_tokens": 0, "completion_tokens": 3}


async def test_without_keys_a_stream_passes_as_it_is_and_is_counted_all_the_same() -> None:
    # fault P6
    async with world() as w, engine(answering(chunked(SAID, USAGE, DONE))) as e:
        w.serve(e)
        request = chat(stream=True)
        assert (await w.send(request)).body == SAID + USAGE + DONE
        assert e.requests[0].body == request.partition(b"\r\n\r\n")[2]
        assert (await usage(w))["total"] == {"requests": 1, "prompt_tokens": 5, "completion_tokens": 7}
        assert w.sample("kubeai_inference_inter_chunk_seconds_count", request_model="m") >= 0


async def test_for_an_adapter_both_changes_are_made() -> None:
    lora = model(replicas=1, adapters=[{"name": "a", "url": "hf://org/a"}])
    async with world(lora, gate=gate(key())) as w, engine(answering(ok(ANSWER)), "e1", "a") as e:
        w.serve(e)
        await w.send(chat(b"/v1/chat/completions", ALICE, model="m_a", stream=True))
        sent = json.loads(e.requests[0].body)
        assert (sent["model"], sent["stream_options"]) == ("a", {"include_usage": True})
        assert (await usage(w, ALICE, query=b"?model=m_a"))["total"]["requests"] == 1


async def test_tokens_a_minute_are_limited_by_what_engines_say() -> None:
    async with world(gate=gate(key(tokens_per_minute=11))) as w, engine(answering(ok(ANSWER))) as e:
        w.serve(e)
        answers = [await w.send(chat(b"/v1/chat/completions", ALICE)) for _ in range(2)]
        assert [answer.status for answer in answers] == [200, 429]
        assert "11 tokens a minute" in answers[1].json["error"]["message"]
        assert (await usage(w, ALICE))["total"]["requests"] == 1  # who is refused uses nothing


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        pytest.param([], b"", 401, id="without a key"),
        pytest.param([ALICE], b"?key=bob", 403, id="of another key"),
        pytest.param([ALICE], b"?from=yesterday", 400, id="from no date"),
        pytest.param([ALICE], b"?" + b"&" * 200, 400, id="too much at once"),
        pytest.param([ALICE], b"?key=alice&from=2026-01-01&to=2026-12-31&model=m", 200, id="of one's own"),
    ],
)
async def test_who_may_ask_for_what(headers: list[bytes], query: bytes, status: int) -> None:
    async with world(gate=gate(key(), key("bob"))) as w:
        assert (await w.send(get(b"/usage" + query, *headers))).status == status
