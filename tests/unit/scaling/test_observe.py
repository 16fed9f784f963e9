"""Observing: what counts for which Model, and what a gateway that cannot be asked means."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from kubeai.scaling.observe import http_metrics, observe
from kubeai.telemetry.registry import Metrics


def metrics_of(**active: float) -> str:
    metrics = Metrics(CollectorRegistry())
    for name, value in active.items():
        metrics.requests_active.labels(name, "http").set(value)
    return metrics.render().decode()


async def active_requests(page: str) -> Mapping[str, float]:
    """Of one gateway that answers with the page."""

    async def fetch(address: str) -> str:
        return page

    seen = await observe(["a"], fetch, 1)
    assert seen.complete
    return seen.active


async def test_all_types_of_requests_of_a_model_are_summed() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.requests_active.labels("m", "http").set(2)
    metrics.requests_active.labels("m", "message").set(3)
    metrics.requests_active.labels("other", "http").set(7)
    assert await active_requests(metrics.render().decode()) == {"m": 5, "other": 7}


# fault A1
async def test_requests_for_an_adapter_count_for_its_model() -> None:
    assert await active_requests(metrics_of(m=1, m_lora=2, m_lora_v2=4)) == {"m": 7}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="no metrics at all"),
        pytest.param(metrics_of(), id="a gateway that had no request yet"),
    ],
)
async def test_nothing_active_is_an_answer(text: str) -> None:
    assert await active_requests(text) == {}


async def test_gateways_are_summed_and_each_address_is_asked_once() -> None:
    async def fetch(address: str) -> str:
        return {"a": metrics_of(m=1), "b": metrics_of(m=2)}[address]

    seen = await observe(["a", "b", "a"], fetch, 1)
    assert (seen.active, seen.blind, seen.complete) == ({"m": 3}, {}, True)


# fault A4
@pytest.mark.looptime
async def test_gateways_are_asked_at_the_same_time_and_one_that_hangs_or_fails_is_left_out() -> None:
    async def fetch(address: str) -> str:
        match address:
            case "hangs":
                await asyncio.Event().wait()
            case "refuses":
                raise ConnectionRefusedError("connection refused")
            case "breaks":
                raise aiohttp.ClientPayloadError("half an answer")
            case "lies":
                return "<html/>"
        await asyncio.sleep(1)
        return metrics_of(m=1)

    seen = await observe(["hangs", "refuses", "breaks", "lies", "a", "b"], fetch, 5)
    assert seen.active == {"m": 2}
    assert seen.blind == {
        "hangs": "no answer within 5 seconds",
        "refuses": "connection refused",
        "breaks": "half an answer",
        "lies": "the answer is not in Prometheus' text format",
    }
    assert (seen.complete, asyncio.get_running_loop().time()) == (False, 5)


async def test_without_gateways_nothing_was_seen() -> None:
    async def fetch(address: str) -> str:
        raise AssertionError(f"{address} was not given")

    assert not (await observe([], fetch, 1)).complete


async def test_metrics_are_fetched_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # fault P14: must not be used

    async def answer(request: web.Request) -> web.Response:
        ok = request.query.getall("name[]") == ["kubeai_inference_requests_active"]
        return web.Response(text=metrics_of(m=1)) if ok else web.Response(status=500)

    app = web.Application()
    app.router.add_get("/metrics", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        async with http_metrics() as fetch:
            seen = await observe([f"{host}:{port}", f"{host}:{port}/missing"], fetch, 5)
    finally:
        await runner.cleanup()
    assert seen.active == {"m": 1}
    assert list(seen.blind) == [f"{host}:{port}/missing"]
