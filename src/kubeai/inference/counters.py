"""What is counted about requests, looked up once for each model name and not once for each request.

Only names of Models that exist get here, so that callers cannot make up label values.
"""

from __future__ import annotations

from kubeai.telemetry.families import Counter, Gauge, Histogram
from kubeai.telemetry.registry import Metrics

from .retry import RetryBudget


class Active:
    """Requests between their arrival and their end; each counts as long as a `with` lasts."""

    __slots__ = ("_gauge",)

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge

    def __enter__(self) -> None:
        self._gauge.inc()

    def __exit__(self, *_: object) -> None:
        self._gauge.dec()


class ModelCounters:
    """The metrics of one requested name (a Model or one of its adapters), through one door."""

    __slots__ = (
        "_metrics",
        "_name",
        "_statuses",
        "_type",
        "active",
        "budget",
        "cold_start",
        "completion_tokens",
        "duration",
        "first_byte",
        "inter_chunk",
        "prompt_tokens",
        "queue_wait",
    )

    def __init__(self, metrics: Metrics, name: str, request_type: str) -> None:
        self._metrics = metrics
        self._name = name
        self._type = request_type
        self._statuses: dict[int, Counter] = {}
        self.active = Active(metrics.requests_active.labels(name, request_type))
        self.duration: Histogram = metrics.request_duration.labels(name)
        self.first_byte: Histogram = metrics.time_to_first_byte.labels(name)
        self.inter_chunk: Histogram = metrics.inter_chunk.labels(name)
        self.prompt_tokens: Counter = metrics.tokens.labels(name, "prompt")
        self.completion_tokens: Counter = metrics.tokens.labels(name, "completion")
        self.queue_wait: Histogram = metrics.queue_wait.labels(name)
        self.cold_start: Histogram = metrics.cold_start.labels(name)
        self.budget = RetryBudget()

    def ended(self, status: int, duration_s: float) -> None:
        counter = self._statuses.get(status)
        if counter is None:
            counter = self._metrics.requests_total.labels(self._name, self._type, str(status))
            self._statuses[status] = counter
        counter.inc()
        self.duration.observe(duration_s)

    def used(self, prompt_tokens: int, completion_tokens: int) -> None:
        if prompt_tokens:
            self.prompt_tokens.inc(prompt_tokens)
        if completion_tokens:
            self.completion_tokens.inc(completion_tokens)

    def retried(self, reason: str) -> None:
        self._metrics.retries.labels(self._name, reason).inc()


class Counters:
    """All of them."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._by_name: dict[tuple[str, str], ModelCounters] = {}

    def of(self, name: str, request_type: str) -> ModelCounters:
        key = (name, request_type)
        found = self._by_name.get(key)
        if found is None:
            found = self._by_name[key] = ModelCounters(self._metrics, name, request_type)
        return found
