"""The routes beyond chat: which Models serve them, where they are at the engine, and how their errors look."""

from __future__ import annotations

import json

import pytest

from kubeai.api.openai.document import openapi
from kubeai.api.openai.routes import ROUTES, Route
from tests.builders import model

from .engine import answering, engine
from .wire import Message
from .world import World, chat, until, world

FORM = b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n--B--\r\n'
POSTS = [route for route in ROUTES.values() if route.method == "POST"]
SERVED = [(route, name) for route in POSTS for name in route.engines or ("VLLM", "OLlama", "Infinity", "LlamaCpp")]


def asked(route: Route, path: str) -> bytes:
    if route.body == "json":
        return chat(path.encode())
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=B\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(FORM) + FORM


@pytest.mark.parametrize(("route", "name"), SERVED, ids=[f"{route.path} {name}" for route, name in SERVED])
async def test_a_route_reaches_each_engine_that_has_it(route: Route, name: str) -> None:
    (feature, *_) = sorted(route.features)
    async with world(model(engine=name, features=[feature])) as w, engine() as e:
        w.serve(e)
        connection = await w.connect()
        for spelling in route.spellings:
            await connection.send(asked(route, f"{spelling}?a=%20b"))
            assert (await connection.read()).status == 200
        there = route.engines.get(name, route.path)  # type: ignore[call-overload]
        assert [seen.path.decode() for seen in e.requests] == [f"{there}?a=%20b"] * 2


LIMITED = [route for route in POSTS if route.engines]


@pytest.mark.parametrize("route", LIMITED, ids=[route.path for route in LIMITED])
async def test_an_engine_without_the_route_is_not_asked(route: Route) -> None:
    # fault P11
    (feature, *_) = sorted(route.features)
    other = next(name for name in ("Infinity", "FasterWhisper") if name not in route.engines)
    async with world(model(engine=other, features=[feature])) as w, engine() as e:
        w.serve(e)
        answer = await w.send(asked(route, route.spellings[1]))
        assert answer.status == 400
        assert f"its engine {other} has no such route" in answer.json["error"]["message"]
        assert e.requests == []


async def test_no_prefix_of_another_api_is_taken() -> None:
    async with world() as w:
        for path in (b"/openai/v1/messages", b"/anthropic/v1/chat/completions", b"/v1/messages/batches"):
            assert (await w.send(chat(path))).status == 404


def anthropic_error(answer: Message) -> tuple[int, str]:
    body = answer.json
    assert (set(body), body["type"], set(body["error"])) == ({"type", "error"}, "error", {"type", "message"})
    return answer.status, body["error"]["type"]


@pytest.mark.parametrize("path", [b"/anthropic/v1/messages", b"/v1/messages"])
async def test_errors_of_anthropics_routes_have_its_shape(path: bytes) -> None:
    # fault P10
    async with world(model(features=["TextGeneration"]), maxBodyBytes=1000, waitTimeout=0.05) as w:
        asks = (chat(path, body=b"{"), chat(path, model="x"), chat(path, text="x" * 2000), chat(path))
        answers = [anthropic_error(await w.send(ask)) for ask in asks]
        answers.append(anthropic_error(await w.send(b"GET " + path + b" HTTP/1.1\r\nHost: h\r\n\r\n")))
        assert answers == [
            (400, "invalid_request_error"),
            (404, "not_found_error"),
            (413, "request_too_large"),
            (503, "overloaded_error"),
            (405, "invalid_request_error"),
        ]


async def test_a_stop_is_told_in_anthropics_shape() -> None:
    async with world() as w:
        connection = await w.connect()
        await connection.send(chat(b"/v1/messages"))
        await until(lambda: w.balancer.waiting("m") == 1)
        await w.gateway.drain(0.01)
        assert anthropic_error(await connection.read()) == (503, "overloaded_error")


async def test_the_openapi_document_is_served() -> None:
    async with world() as w:
        answer = await w.send(b"GET /openapi.json HTTP/1.1\r\nHost: h\r\n\r\n")
        assert answer.header(b"content-type") == b"application/json"
        assert answer.json == json.loads(json.dumps(openapi()))


async def preflight(w: World, origin: bytes, path: bytes = b"/openai/v1/chat/completions") -> Message:
    head = b"OPTIONS " + path + b" HTTP/1.1\r\nHost: h\r\nOrigin: " + origin
    asks = b"\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n\r\n"
    return await w.send(head + asks)


def allowed(answer: Message) -> bytes | None:
    return answer.header(b"access-control-allow-origin")


CHAT = b"https://chat.example.com"
SAYING = b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\n"


async def test_without_configuration_pages_of_other_origins_may_do_nothing() -> None:
    async with world() as w, engine(answering(SAYING + b"Content-Length: 2\r\n\r\n{}")) as e:
        w.serve(e)
        refused = await preflight(w, CHAT)
        assert (refused.status, allowed(refused), refused.header(b"allow")) == (405, None, b"POST")
        answer = await w.send(chat(b"/v1/chat/completions", b"Origin: " + CHAT))
        assert (answer.status, allowed(answer), answer.header(b"access-control-allow-credentials")) == (200, None, None)
        assert e.requests[0].header(b"origin") is None


async def test_pages_of_a_configured_origin_may_use_the_api() -> None:
    async with world(cors={"allowedOrigins": [CHAT.decode()], "maxAge": 60}) as w, engine() as e:
        w.serve(e)
        asked_first = await preflight(w, CHAT)
        names = (b"access-control-allow-methods", b"access-control-allow-headers", b"access-control-max-age", b"vary")
        assert (asked_first.status, allowed(asked_first)) == (200, CHAT)
        assert [asked_first.header(name) for name in names] == [b"GET, HEAD, POST", b"authorization", b"60", b"origin"]
        for name in ("m", "nobody"):  # an error, too, must be readable
            answer = await w.send(chat(b"/v1/chat/completions", b"Origin: " + CHAT, model=name))
            assert (allowed(answer), answer.header(b"vary")) == (CHAT, b"origin")
            assert answer.header(b"access-control-expose-headers") == b"retry-after, x-request-id"
        malformed = await w.send(b"GET /v1/models HTTP/1.1\r\nHost: h\r\nOrigin: " + CHAT + b"\r\nA : b\r\n\r\n")
        assert (malformed.status, allowed(malformed), malformed.header(b"vary")) == (400, None, b"origin")


async def test_pages_of_another_origin_are_refused() -> None:
    async with world(cors={"allowedOrigins": [CHAT.decode()]}) as w, engine() as e:
        w.serve(e)
        for origin in (b"https://evil.example.com", b"null", CHAT + b".evil.com"):
            refused = await preflight(w, origin)
            assert (refused.status, refused.code, allowed(refused)) == (403, "permission_denied", None)
            answer = await w.send(chat(b"/v1/chat/completions", b"Origin: " + origin))
            assert (allowed(answer), answer.header(b"vary")) == (None, b"origin")


async def test_all_origins_can_be_allowed() -> None:
    async with world(cors={"allowedOrigins": ["*"]}) as w, engine() as e:
        w.serve(e)
        assert [allowed(await preflight(w, CHAT, path)) for path in (b"/v1/models", b"/anthropic/v1/messages")] == [
            b"*",
            b"*",
        ]
        answer = await w.ask()
        assert (allowed(answer), answer.header(b"vary")) == (b"*", None)
        assert (await preflight(w, CHAT, b"/v1/load_lora_adapter")).status == 404
