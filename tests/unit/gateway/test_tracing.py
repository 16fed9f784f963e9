"""Spans of requests, with OpenTelemetry's own SDK."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kubeai.app.watching import watchers
from kubeai.gateway.tracing import Tracing
from kubeai.telemetry.traces import exporter_wanted
from tests.builders import system
from tests.unit.access.keys import gate, key

from .engine import answering, engine, ok
from .test_keys import ALICE
from .test_usage import ANSWER
from .world import chat, until, world

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"traceparent: 00-{TRACE}-{SPAN}-01".encode()


class Collected:
    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing = Tracing(provider)

    async def one(self) -> ReadableSpan:
        await until(lambda: bool(self._exporter.get_finished_spans()))
        (span,) = self._exporter.get_finished_spans()
        return span


def traceparent(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}"


def received(header: bytes | None) -> str:
    """A traceparent without its flags, which say that the trace is recorded."""
    ids, _, flags = (header or b"").decode().rpartition("-")
    assert int(flags, 16) & 1
    return ids


async def test_a_span_stands_between_the_clients_and_the_engines() -> None:
    collected = Collected()
    async with world(gate=gate(key()), watchers=[collected.tracing]) as w, engine(answering(ok(ANSWER))) as e:
        w.serve(e)
        state = b"tracestate: vendor=1"
        await w.send(chat(b"/v1/chat/completions", ALICE, PARENT, state, b"X-Request-Id: r-1"))
        span = await collected.one()
        assert span.parent is not None
        assert f"{span.parent.span_id:016x}" == SPAN
        assert received(e.requests[0].header(b"traceparent")) == traceparent(span)
        assert e.requests[0].header(b"tracestate") == b"vendor=1"
        assert traceparent(span).split("-")[1] == TRACE
        assert dict(span.attributes or {}) == {
            "http.request.method": "POST",
            "url.path": "/v1/chat/completions",
            "client.address": "127.0.0.1",
            "gen_ai.request.model": "m",
            "kubeai.request_id": "r-1",
            "kubeai.key": "alice",
            "http.response.status_code": 200,
            "server.address": "e1",
            "gen_ai.usage.input_tokens": 5,
            "gen_ai.usage.output_tokens": 7,
        }
        assert [event.name for event in span.events] == ["first byte"]


async def test_a_client_without_a_trace_begins_one() -> None:
    collected = Collected()
    async with world(watchers=[collected.tracing]) as w, engine() as e:
        w.serve(e)
        await w.ask()
        span = await collected.one()
        assert span.parent is None
        assert received(e.requests[0].header(b"traceparent")) == traceparent(span)


async def test_without_tracing_the_clients_own_header_passes() -> None:
    async with world() as w, engine() as e:
        w.serve(e)
        await w.send(chat(b"/v1/chat/completions", PARENT))
        assert e.requests[0].header(b"traceparent") == PARENT.partition(b": ")[2]


async def test_a_header_that_is_no_parent_is_not_passed_on() -> None:
    collected = Collected()
    async with world(watchers=[collected.tracing]) as w, engine() as e:
        w.serve(e)
        await w.send(chat(b"/v1/chat/completions", b"traceparent: nonsense"))
        span = await collected.one()
        assert received(e.requests[0].header(b"traceparent")) == traceparent(span)


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        pytest.param({}, "", id="nothing said"),
        pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "otlp", id="an endpoint"),
        pytest.param({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318"}, "otlp", id="one for traces"),
        pytest.param({"OTEL_TRACES_EXPORTER": "console"}, "console", id="an exporter"),
        pytest.param({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "x"}, "", id="none"),
        pytest.param({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "x"}, "", id="switched off"),
    ],
)
def test_when_there_are_traces(environment: dict[str, str], wanted: str) -> None:
    assert exporter_wanted(environment) == wanted


async def test_a_span_arrives_at_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    async with engine(answering(ok(b""))) as collector:
        endpoint = f"http://127.0.0.1:{collector.endpoint.port}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        looking: list[Any] = watchers(system(), logs=False)
        async with world(watchers=looking) as w, engine() as e:
            w.serve(e)
            await w.ask()
        told = [message.body for message in collector.requests if message.path == b"/v1/traces"]
    assert len(told) == 1
    assert b"POST /openai/v1/chat/completions" in told[0]
    assert b"kubeai" in told[0]
