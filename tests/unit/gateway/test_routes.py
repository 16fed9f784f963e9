"""Which paths exist, what they ask of a Model, and what an engine is told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders import model

from .engine import Line, engine, ok
from .wire import Message
from .world import World, chat, world


async def get(w: World, path: str, *headers: bytes, method: bytes = b"GET") -> Message:
    connection = await w.connect()
    lines = [method + b" " + path.encode() + b" HTTP/1.1", b"Host: h", *headers]
    await connection.send(b"\r\n".join(lines) + b"\r\n\r\n")
    return await connection.read(bodiless=method == b"HEAD")


FEATURES = {
    "/v1/chat/completions": "TextGeneration",
    "/v1/completions": "TextGeneration",
    "/v1/embeddings": "TextEmbedding",
    "/v1/rerank": "Reranking",
}


@pytest.mark.parametrize(("path", "feature"), FEATURES.items())
@pytest.mark.parametrize("prefix", ["", "/openai"])
async def test_a_route_reaches_models_with_its_feature(path: str, feature: str, prefix: str) -> None:
    async with world(model(features=[feature])) as w, engine() as e:
        w.serve(e)
        assert (await w.send(chat((prefix + path).encode()))).status == 200
        assert e.requests[0].path == path.encode()


@pytest.mark.parametrize("path", FEATURES)
async def test_a_model_without_the_feature_says_what_it_has(path: str) -> None:
    # fault P11
    async with world(model(features=["SpeechToText"])) as w, engine() as e:
        w.serve(e)
        answer = await w.send(chat(path.encode()))
        assert (answer.status, answer.code) == (400, "unsupported_feature")
        assert "SpeechToText" in answer.json["error"]["message"]
        assert e.requests == []


CLOSED = [
    "/",
    "/v1",
    "/v1/load_lora_adapter",
    "/openai/v1/chat/completions/",
    "/openai//v1/chat/completions",
    "/openai/v1/../v1/chat/completions",
    "/v1/chat%2fcompletions",
    "/openai/openai/v1/chat/completions",
    "//v1/chat/completions",
    "http://h/v1/chat/completions",
    "/V1/chat/completions",
    "/v1/chat/completions;x",
]


@pytest.mark.parametrize("path", CLOSED)
async def test_no_other_path_reaches_an_engine(path: str) -> None:
    async with world() as w, engine() as e:
        w.serve(e)
        answer = await w.send(chat(path.encode()))
        assert (answer.status, answer.code) == (404, "unknown_url")
        assert e.connections == 0


METHODS = {
    "a chat is not read": ("/v1/chat/completions", b"GET", b"POST"),
    "a chat is not deleted": ("/v1/chat/completions", b"DELETE", b"POST"),
    "models are not made": ("/openai/v1/models", b"POST", b"GET, HEAD"),
    "health is not changed": ("/healthz", b"PUT", b"GET, HEAD"),
}


@pytest.mark.parametrize(("path", "method", "allowed"), METHODS.values(), ids=METHODS.keys())
async def test_a_wrong_method_is_told_the_right_ones(path: str, method: bytes, allowed: bytes) -> None:
    async with world() as w:
        answer = await get(w, path, method=method)
        assert (answer.status, answer.code, answer.header(b"allow")) == (405, "method_not_allowed", allowed)


async def test_the_query_reaches_the_engine() -> None:
    async with world() as w, engine() as e:
        w.serve(e)
        await w.send(chat(b"/openai/v1/chat/completions?a=b&c=%20d"))
        assert e.requests[0].path == b"/v1/chat/completions?a=b&c=%20d"


BODY = (
    b'{"messages":[{"role":"user","content":null,"reasoning_content":"x"}], "stop":"a",\t"big":12345678901234567890123,'
    b' "zero":0.0, "model":"m%b", "tools":[{"model":"x"}]}'
)


async def test_a_body_passes_byte_for_byte() -> None:
    # fault P6
    async with world() as w, engine() as e:
        w.serve(e)
        await w.send(chat(body=BODY % b""))
        assert e.requests[0].body == BODY % b""


async def test_only_the_adapters_name_is_changed() -> None:
    # fault P6
    adapters = [{"name": "lora", "url": "hf://a/b"}]
    async with world(model(adapters=adapters)) as w, engine(None, "e1", "lora") as e:
        w.serve(e)
        await w.send(chat(body=BODY % b"_lora"))
        assert e.requests[0].body == (BODY % b"").replace(b'"m"', b'"lora"')
        assert w.sample("kubeai_inference_requests_total", request_model="m_lora") == 1


FORM = (
    b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n'
    b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n%b\r\n--B--\r\n'
)


async def test_a_transcription_goes_on_without_its_model_part() -> None:
    async with world(model(features=["SpeechToText"])) as w, engine() as e:
        w.serve(e)
        body = FORM % (b"\x00\xff" * 200_000)
        head = b"POST /openai/v1/audio/transcriptions HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n" % len(body)
        answer = await w.send(head, b"Content-Type: multipart/form-data; boundary=B\r\n\r\n", body)
        assert answer.status == 200
        (seen,) = e.requests
        assert seen.body == body[body.index(b"--B", 3) :]
        assert seen.header(b"content-type") == b"multipart/form-data; boundary=B"


BAD: dict[str, tuple[bytes, int, str]] = {
    "no body": (b"", 400, "None"),
    "no JSON": (b"{", 400, "None"),
    "no model": (b"{}", 400, "None"),
    "an unknown model": (b'{"model":"x"}', 404, "model_not_found"),
    "an unknown adapter": (b'{"model":"m_x"}', 404, "model_not_found"),
    "two models": (b'{"model":"m","model":"m"}', 400, "None"),
}


@pytest.mark.parametrize(("body", "status", "code"), BAD.values(), ids=BAD.keys())
async def test_a_request_that_cannot_be_served_leaves_the_connection_usable(
    body: bytes, status: int, code: str
) -> None:
    # fault P10
    async with world() as w, engine() as e:
        w.serve(e)
        connection = await w.connect()
        await connection.send(chat(body=body))
        answer = await connection.read()
        assert (answer.status, answer.code) == (status, code)
        assert (await connection.ask()).status == 200


async def test_label_selectors_decide_which_models_exist() -> None:
    labelled = model(metadata={"labels": {"team": "a"}})
    async with world(labelled) as w, engine() as e:
        w.serve(e)
        path = b"/v1/chat/completions"
        assert (await w.send(chat(path, b"X-Label-Selector: team=a"))).status == 200
        assert e.requests[0].header(b"x-label-selector") is None
        assert (await w.send(chat(path, b"X-Label-Selector: team=a", b"X-Label-Selector: !team"))).status == 404
        assert (await w.send(chat(path, b"X-Label-Selector: team in"))).status == 400
        assert (await get(w, "/v1/models", b"X-Label-Selector: team=b")).json["data"] == []


async def test_models_are_listed_by_feature_and_found_one_by_one() -> None:
    async with world(model("chat"), model("embed", features=["TextEmbedding"])) as w:
        listed: Any = (await get(w, "/openai/v1/models?feature=TextEmbedding&feature=Reranking")).json
        assert (listed["object"], [m["id"] for m in listed["data"]]) == ("list", ["embed"])
        assert (await get(w, "/v1/models/embed")).json["features"] == ["TextEmbedding"]
        assert (await get(w, "/openai/v1/models/none")).code == "model_not_found"
        assert (await get(w, "/v1/models?" + "&" * 200)).status == 400


async def test_probes_say_whether_it_lives_and_is_ready() -> None:
    # fault P5
    async with world() as w:
        assert (await get(w, "/healthz")).body == b"ok"
        assert (await get(w, "/readyz")).status == 200
        w.ready = "the caches have not synced"
        assert (await get(w, "/healthz")).status == 200
        answer = await get(w, "/readyz")
        assert (answer.status, answer.body) == (503, b"the caches have not synced")


async def test_metrics_are_served() -> None:
    async with world() as w, engine() as e:
        w.serve(e)
        await w.ask()
        answer = await get(w, "/metrics")
        assert answer.header(b"content-type") == b"text/plain; version=0.0.4; charset=utf-8"
        assert b'kubeai_inference_requests_active{request_model="m",request_type="http"} 0.0' in answer.body
        asked = await get(w, "/metrics?name[]=kubeai_endpoints&request_model=%6d&request_model=%ff")
        assert asked.body.splitlines()[2:] == [b'kubeai_endpoints{request_model="m"} 1.0']


async def test_head_is_get_without_the_body() -> None:
    async with world() as w:
        full, head = await get(w, "/v1/models"), await get(w, "/v1/models", method=b"HEAD")
        assert head.status == 200
        assert head.header(b"content-length") == full.header(b"content-length")


async def test_an_engine_is_told_who_asked() -> None:
    async with world() as w, engine() as e:
        w.serve(e)
        await w.send(chat(b"/v1/chat/completions", b"Forwarded: for=x", b"Proxy-Authorization: x"))
        (seen,) = e.requests
        assert seen.header(b"host") == f"127.0.0.1:{e.endpoint.port}".encode()
        assert seen.header(b"x-forwarded-for") == b"127.0.0.1"
        assert seen.header(b"x-forwarded-host") == b"gateway"
        assert seen.header(b"x-forwarded-proto") == b"http"
        assert seen.header(b"forwarded") is None
        assert seen.header(b"proxy-authorization") is None


async def test_a_proxy_before_us_is_heard() -> None:
    async with world() as w, engine() as e:
        w.serve(e)
        await w.send(chat(b"/v1/chat/completions", b"X-Forwarded-For: 10.1.1.1", b"X-Forwarded-Proto: https"))
        assert e.requests[0].header(b"x-forwarded-for") == b"10.1.1.1, 127.0.0.1"
        assert e.requests[0].header(b"x-forwarded-proto") == b"https"


@pytest.mark.parametrize(("given", "kept"), [(b"my-id", True), (b"two words", False), (b"x" * 200, False)])
async def test_one_request_id_goes_through_engine_and_answer(given: bytes, kept: bool) -> None:
    async def script(line: Line) -> None:
        await line.request()
        await line.send(ok(b"{}", b"X-Request-Id: of-the-engine"))

    async with world() as w, engine(script) as e:
        w.serve(e)
        answer = await w.send(chat(b"/v1/chat/completions", b"X-Request-Id: " + given))
        used = answer.header(b"x-request-id")
        assert (used == given) is kept
        assert e.requests[0].all(b"x-request-id") == [used]


async def test_requests_without_an_id_get_different_ones() -> None:
    async with world() as w, engine() as e:
        w.serve(e)
        connection = await w.connect()
        ids = {(await connection.ask()).header(b"x-request-id") for _ in range(3)}
        assert len(ids) == 3
        assert None not in ids


async def test_proxy_settings_of_the_environment_do_not_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    # fault P14
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with world() as w, engine() as e:
        w.serve(e)
        assert (await w.ask()).status == 200


async def test_hop_by_hop_headers_of_an_answer_stop_here() -> None:
    headers = (b"Connection: keep-alive, X-Hop", b"X-Hop: 1", b"Keep-Alive: timeout=5", b"X-End: 2", b"x-end: 3")

    async def script(line: Line) -> None:
        await line.request()
        await line.send(ok(b"{}", *headers))

    async with world() as w, engine(script) as e:
        w.serve(e)
        answer = await w.ask()
        assert [answer.header(name) for name in (b"connection", b"x-hop", b"keep-alive")] == [None] * 3
        assert answer.all(b"x-end") == [b"2", b"3"]
