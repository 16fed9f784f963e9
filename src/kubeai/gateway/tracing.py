"""A span for each request to a model, between that of the client and those of the engine.

The client's `traceparent` is the span's parent, and the engine gets one that names the span. A request that goes on
without tracing keeps the client's header as it is.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING

from opentelemetry import propagate, trace

from kubeai.inference.call import Call

from .receiver import Request
from .watching import Ended

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

#: What the propagators write: ours take the place of the client's.
_FIELDS = re.compile(rb"^(traceparent|tracestate|baggage):[ \t]*([^\r\n]*)\r\n", re.IGNORECASE | re.MULTILINE)


class Tracing:
    """Watches requests, and tells them to OpenTelemetry."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("kubeai")
        #: Spans of requests that are being served.
        self._open: dict[int, trace.Span] = {}
        self._closed = False

    def begins(self, request: Request, call: Call) -> None:
        given = {name.decode("ascii").lower(): value.decode("latin-1") for name, value in _FIELDS.findall(call.lines)}
        path = request.path.decode("latin-1")
        span = self._tracer.start_span(
            f"POST {path}",
            context=propagate.extract(given),
            kind=trace.SpanKind.SERVER,
            attributes={
                "http.request.method": "POST",
                "url.path": path,
                "client.address": request.head.peer.decode("latin-1"),
                "gen_ai.request.model": call.requested,
                "kubeai.request_id": call.request_id.decode("latin-1"),
                "kubeai.key": call.caller.name,
            },
        )
        ours: dict[str, str] = {}
        propagate.inject(ours, trace.set_span_in_context(span, propagate.extract(given)))
        added = b"".join([b"%b: %b\r\n" % (k.encode("ascii"), v.encode("latin-1")) for k, v in ours.items()])
        call.lines = _FIELDS.sub(b"", call.lines) + added
        self._open[id(call)] = span

    def ended(self, end: Ended) -> None:
        span = self._open.pop(id(end.call), None)
        if span is None or end.call is None:
            return
        call = end.call
        span.set_attribute("http.response.status_code", end.status)
        span.set_attribute("server.address", call.endpoint)
        if call.retries:
            span.set_attribute("kubeai.retries", call.retries)
        if call.tokens is not None:
            span.set_attribute("gen_ai.usage.input_tokens", call.tokens[0])
            span.set_attribute("gen_ai.usage.output_tokens", call.tokens[1])
        if call.first_byte_at:
            span.add_event("first byte", timestamp=time.time_ns() - int((end.now - call.first_byte_at) * 1e9))
        if end.status >= 500:
            span.set_status(trace.StatusCode.ERROR)
        span.end()

    async def close(self) -> None:
        """What was not sent yet is sent now, which may take as long as its time-out."""
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._provider.shutdown)
