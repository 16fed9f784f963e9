"""Tracing by OpenTelemetry, where it is installed (the extra `otel`) and asked for by its own variables.

`OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_TRACES_EXPORTER` turn it on; what else there is (sampling, headers, resource
attributes, batches) the SDK reads from its variables itself. Nothing of it is imported otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

log = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_EXPORTER = "OTEL_TRACES_EXPORTER"
SERVICE = "kubeai"


def exporter_wanted(environment: Mapping[str, str]) -> str:
    """`otlp`, `console`, or "" where nobody asks for traces."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return ""
    named = environment.get(_EXPORTER, "").strip().lower()
    if named:
        return "" if named == "none" else named
    return "otlp" if any(environment.get(name) for name in _ENDPOINTS) else ""


def tracer_provider(environment: Mapping[str, str]) -> TracerProvider | None:
    """Where spans go; None where nobody asks for them, or it cannot be."""
    wanted = exporter_wanted(environment)
    if not wanted:
        return None
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        exporter = _exporter(wanted)
    except ImportError:
        log.warning("traces are asked for, but OpenTelemetry is not installed: pip install 'kubeai[otel]'")
        return None
    if exporter is None:
        log.warning("%s is %s, and there are no traces: write otlp, console or none", _EXPORTER, wanted)
        return None
    name = {} if environment.get("OTEL_SERVICE_NAME") else {"service.name": SERVICE}
    provider = TracerProvider(resource=Resource.create(name))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    log.info("traces go to the exporter %s", wanted)
    return provider


def _exporter(wanted: str) -> SpanExporter | None:
    if wanted == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    if wanted == "otlp":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter()
    return None
