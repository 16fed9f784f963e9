"""API keys over a real socket (fault P15)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kubeai.access.credentials import Credentials
from kubeai.gateway.receiver import Receiver
from kubeai.gateway.response import Reply
from tests.builders import model
from tests.unit.access.keys import FakeSecrets, gate, key, secret

from .engine import Line, answering, engine, ok
from .world import World, chat, within, world

ALICE = b"Authorization: Bearer sk-alice"
MODELS = (
    model(replicas=1, metadata={"labels": {"team": "a"}}),
    model("other", replicas=1, metadata={"labels": {"team": "b"}}),
)
PROXY: dict[str, Any] = {"networks": ["127.0.0.0/8"], "userHeader": "X-User", "selectorHeader": "X-Models"}


def get(path: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"Host: gateway", *headers]) + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        pytest.param([], 401, "invalid_api_key", id="no key"),
        pytest.param([b"Authorization: Bearer sk-bob"], 401, "invalid_api_key", id="a wrong key"),
        pytest.param([b"X-User: root"], 401, "invalid_api_key", id="a name without a trusted proxy"),
        pytest.param([ALICE], 200, None, id="a key"),
        pytest.param([b"X-Api-Key: sk-alice"], 200, None, id="a key in Anthropic's header"),
    ],
)
async def test_a_key_is_needed(headers: list[bytes], status: int, code: str | None) -> None:
    async with world(*MODELS, gate=gate(key())) as w, engine() as e:
        w.serve(e)
        answer = await w.send(chat(b"/v1/chat/completions", *headers))
        assert (answer.status, answer.code if code else None) == (status, code)
        assert len(e.requests) == (status == 200)


@pytest.mark.parametrize("guarded", [True, False])
async def test_no_engine_gets_to_see_the_key_or_the_users_name(guarded: bool) -> None:
    tried = gate(key(), trustedProxy=PROXY) if guarded else gate()
    async with world(gate=tried) as w, engine() as e:
        w.serve(e)
        await w.send(chat(b"/v1/chat/completions", ALICE, b"x-api-key: sk-alice", b"API-Key: x", b"X-User: eve"))
        names = {name.lower() for name, _ in e.requests[0].headers}
        assert not names & {b"authorization", b"x-api-key", b"api-key"}
        assert guarded != (b"x-user" in names)


async def test_a_large_body_is_refused_before_it_is_sent() -> None:
    async with world(gate=gate(key())) as w:
        connection = await w.connect()
        await connection.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Length: 90000000\r\n\r\n")
        assert (await connection.read()).status == 401


async def test_a_key_sees_and_uses_the_models_of_its_selector_only() -> None:
    async with world(*MODELS, gate=gate(key(models="team=a"))) as w, engine() as e:
        w.serve(e)
        listed = await w.send(get(b"/v1/models", ALICE))
        assert [entry["id"] for entry in listed.json["data"]] == ["m"]
        assert (await w.send(get(b"/v1/models/other", ALICE))).status == 404
        assert (await w.send(chat(b"/v1/chat/completions", ALICE))).status == 200
        refused = await w.send(chat(b"/v1/chat/completions", ALICE, model="other"))
        assert (refused.status, refused.code) == (403, "permission_denied")
        assert (await w.send(get(b"/v1/models"))).status == 401


async def test_a_key_that_is_revoked_is_refused_on_open_connections() -> None:
    secrets = FakeSecrets(key())
    async with world(gate=gate(secrets=secrets)) as w, engine() as e:
        w.serve(e)
        connection = await w.connect()
        request = chat(b"/v1/chat/completions", ALICE)
        statuses = []
        for _ in range(3):
            await connection.send(request)
            statuses.append((await connection.read()).status)
        secrets.put(secret())
        await connection.send(request)
        statuses.append((await connection.read()).status)
        assert statuses == [200, 200, 200, 401]


async def test_requests_a_minute_are_limited() -> None:
    async with world(gate=gate(key(requests_per_minute=2))) as w, engine() as e:
        w.serve(e)
        answers = [await w.send(chat(b"/v1/chat/completions", ALICE)) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert answers[2].code == "rate_limit_exceeded"
        assert 0 < int(answers[2].header(b"retry-after") or 0) <= 30
        assert w.sample("kubeai_inference_requests_total", request_model="m", status="429") == 1


async def test_requests_at_a_time_are_limited_and_an_end_makes_room() -> None:
    reached = asyncio.Event()

    async def script(line: Line) -> None:
        await line.request()
        reached.set()
        await line.closed()

    async with world(gate=gate(key(concurrency=1))) as w, engine(script) as e:
        w.serve(e)
        first = await w.connect()
        await first.send(chat(b"/v1/chat/completions", ALICE))
        await within(reached.wait())
        assert (await w.send(chat(b"/v1/chat/completions", ALICE))).status == 429
        first.reset()
        await within(e.ended.get())
        async with engine(answering(ok()), name="e2") as second:
            w.serve(second)
            assert (await w.send(chat(b"/v1/chat/completions", ALICE))).status == 200


async def test_a_trusted_proxy_names_its_users() -> None:
    async with world(*MODELS, gate=gate(trustedProxy=PROXY)) as w, engine() as e:
        w.serve(e)
        listed = await w.send(get(b"/v1/models", b"X-User: eve", b"X-Models: team=b"))
        assert [entry["id"] for entry in listed.json["data"]] == ["other"]
        assert (await w.send(chat(b"/v1/chat/completions", b"X-User: eve"))).status == 200
        assert (await w.send(chat(b"/v1/chat/completions"))).status == 401


async def test_a_user_cannot_widen_what_the_proxy_lets_him_use() -> None:
    # fault P15
    async with world(*MODELS, gate=gate(trustedProxy=PROXY)) as w, engine() as e:
        w.serve(e)
        for his, the_proxys in ((b"", b"team=b"), (b"team=a", b"team=b"), (b"team in (a", b"b)")):
            headers = [b"X-User: eve", b"X-Models: " + his, b"X-Models: " + the_proxys]
            assert (await w.send(chat(b"/v1/chat/completions", *headers))).status == 403
        assert e.requests == []


async def test_probes_need_no_key_and_metrics_are_for_this_machine() -> None:
    async with world(gate=gate(key())) as w:
        assert [(await w.send(get(path))).status for path in (b"/healthz", b"/readyz", b"/metrics")] == [200] * 3
        assert await _status_from_elsewhere(w, b"/metrics") == 403


@pytest.mark.parametrize("name", [b"X-Forwarded-For", b"x-real-ip", b"Forwarded", b"Via"])
async def test_a_proxy_on_this_machine_gets_no_metrics_for_others(name: bytes) -> None:
    request = get(b"/metrics", name + b": 192.0.2.1")
    async with world(gate=gate(key())) as w:
        assert (await w.send(request)).status == 403
    async with world() as w:  # without keys they are for everybody
        assert (await w.send(request)).status == 200


async def _status_from_elsewhere(w: World, path: bytes) -> int:
    """As if a client of another machine asked."""
    receiver = Receiver(1000, 1000, b"192.0.2.1", Credentials(None, trusted=False))
    receiver.feed(get(path))
    reply = w.gateway.service.serve(receiver.ready[0], b"id")
    assert isinstance(reply, Reply)
    return reply.status
