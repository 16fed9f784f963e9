"""The manager's metrics and probes, over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from kubeai.app.admin import AdminServer, split_address
from kubeai.app.errors import StartError
from kubeai.telemetry.registry import Metrics


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [(":8080", "0.0.0.0", 8080), ("127.0.0.1:1", "127.0.0.1", 1), ("[::1]:2", "::1", 2)],
)
def test_addresses(address: str, host: str, port: int) -> None:
    assert split_address(address, "metricsAddr") == (host, port)


def test_an_address_without_a_port_is_refused_with_its_key() -> None:
    with pytest.raises(StartError, match="metricsAddr: 'localhost' is not an address"):
        split_address("localhost", "metricsAddr")


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.mark.parametrize(("reason", "status", "text"), [(None, 200, "ok"), ("no list yet", 503, "no list yet")])
async def test_readiness_says_why_not(http: aiohttp.ClientSession, reason: str | None, status: int, text: str) -> None:
    server = AdminServer(Metrics(), lambda: reason)
    await server.start("0", "127.0.0.1:0")
    try:
        async with http.get(f"http://127.0.0.1:{server.ports[0]}/readyz") as answer:
            assert (answer.status, await answer.text()) == (status, text)
        async with http.get(f"http://127.0.0.1:{server.ports[0]}/healthz") as answer:
            assert answer.status == 200
    finally:
        await server.close()


async def test_metrics_are_served_and_can_be_asked_for_by_name(http: aiohttp.ClientSession) -> None:
    metrics = Metrics()
    metrics.requests_active.labels("m", "http").set(3)
    server = AdminServer(metrics, lambda: None)
    await server.start("127.0.0.1:0", "0")
    name = "kubeai_inference_requests_active"
    try:
        async with http.get(f"http://127.0.0.1:{server.ports[0]}/metrics", params={"name[]": name}) as answer:
            text = await answer.text()
        assert f'{name}{{request_model="m",request_type="http"}} 3.0' in text
        assert "process_cpu" not in text
    finally:
        await server.close()


async def test_a_taken_port_is_an_error_that_names_the_key() -> None:
    first = AdminServer(Metrics(), lambda: None)
    await first.start("0", "127.0.0.1:0")
    second = AdminServer(Metrics(), lambda: None)
    try:
        with pytest.raises(StartError, match="healthAddress: cannot listen on"):
            await second.start("0", f"127.0.0.1:{first.ports[0]}")
    finally:
        await first.close()
        await second.close()
