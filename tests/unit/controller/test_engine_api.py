"""The operator's calls to a model server, against vLLM's routes and words (and some that are no vLLM)."""

from __future__ import annotations

import argparse
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp import web

from kubeai.controller.engine_api import VLLM, EngineError
from tests.engines.vllm_stand_in.vllm.entrypoints.openai.api_server import Server


@contextmanager
def stand_in(directory: Path, *, enable_lora: bool = True) -> Iterator[str]:
    (directory / "adapter_config.json").write_text("{}")
    server = Server(
        argparse.Namespace(
            host="127.0.0.1", port=0, model="/model", served_model_name="m", enable_lora=enable_lora, max_lora_rank=None
        )
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def _updating(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "True")


@pytest.fixture
async def servers() -> AsyncIterator[VLLM]:
    async with VLLM() as entered:
        yield entered


async def test_an_adapter_is_loaded_listed_and_unloaded(servers: VLLM, tmp_path: Path) -> None:
    with stand_in(tmp_path) as base:
        assert await servers.adapters(base) == {}
        await servers.load(base, "a", str(tmp_path))
        assert await servers.adapters(base) == {"a": str(tmp_path)}
        await servers.unload(base, "a")
        assert await servers.adapters(base) == {}


# fault O5
async def test_what_was_done_before_is_a_success(servers: VLLM, tmp_path: Path) -> None:
    with stand_in(tmp_path) as base:
        for _ in range(2):
            await servers.load(base, "a", str(tmp_path))
        for _ in range(2):
            await servers.unload(base, "a")


@pytest.mark.parametrize(
    ("enable_lora", "path", "says"),
    [
        pytest.param(True, "/nothing", "POST /v1/load_lora_adapter: 404 Loading lora a failed: No adap", id="no files"),
        pytest.param(False, "", "500 Call to add_lora method failed: LoRA is not enabled", id="it was started without"),
    ],
)
async def test_a_refusal_has_the_servers_own_words(
    servers: VLLM, tmp_path: Path, enable_lora: bool, path: str, says: str
) -> None:
    with stand_in(tmp_path, enable_lora=enable_lora) as base, pytest.raises(EngineError, match=says):
        await servers.load(base, "a", path or str(tmp_path))


async def test_a_server_without_the_routes_is_told_from_an_adapter_that_is_missing(
    servers: VLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "False")
    with stand_in(tmp_path) as base, pytest.raises(EngineError, match="no route /v1/load_lora_adapter: it needs the"):
        await servers.load(base, "a", str(tmp_path))


# fault P14
async def test_the_proxy_of_the_environment_is_not_used(
    servers: VLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with stand_in(tmp_path) as base:
        assert await servers.adapters(base) == {}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        pytest.param(web.Response(text="<html>"), "no list of models", id="a page"),
        pytest.param(web.Response(status=500, text="oops"), "GET /v1/models: 500 oops", id="a failure in plain text"),
        pytest.param(
            web.json_response({"object": "error", "message": "no key"}, status=401), "401 no key", id="an older form"
        ),
    ],
)
async def test_other_answers_are_errors(servers: VLLM, answer: web.Response, says: str) -> None:
    async def handle(_: web.Request) -> web.Response:
        return answer

    app = web.Application()
    app.router.add_get("/v1/models", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        with pytest.raises(EngineError, match=says):
            await servers.adapters(f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()


async def test_a_server_that_is_not_there_is_an_error(servers: VLLM) -> None:
    with pytest.raises(EngineError, match=r"http://127\.0\.0\.1:1/v1/models"):
        await servers.adapters("http://127.0.0.1:1")
