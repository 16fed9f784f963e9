"""The metrics of one process, as an object that is passed to those who count.

Nothing is global: each `Metrics` has a registry of its own, so that tests and several gateways in one process do not
see each other's numbers. Several processes that serve one gateway share memory (`pages`): each counts on its own
page, and any of them serves what all have counted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from urllib.parse import parse_qsl

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from . import names
from .families import Counter, Family, Gauge, Histogram, key_start
from .names import MetricSpec
from .pages import Memory
from .totals import Totals

#: Label values and the gauge's value, read at the moment of the scrape.
Sample = tuple[Sequence[str], float]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Everything that this process counts."""

    def __init__(
        self, registry: CollectorRegistry | None = None, memory: Memory | None = None, process: int = 0
    ) -> None:
        """Without a registry a new one is made, with the process's own CPU, memory and file metrics.

        `process` is this process's number among those that share the memory; without memory it is alone.
        """
        self._registry = registry or CollectorRegistry()
        if registry is None:
            ProcessCollector(registry=self._registry)
        self.memory = memory or Memory(1)
        self.process = process
        self._pages = self.memory.pages[process]
        for page in self._pages:
            page.open()
        #: While a page is rendered: the sums, and the Models that it is about if not about all.
        self._totals: Totals | None = None
        self._models: Collection[str] = ()
        self.endpoints = self._gauge(names.ENDPOINTS)
        self.endpoint_requests_in_flight = self._in_flight(names.ENDPOINT_REQUESTS_IN_FLIGHT)
        self.requests_waiting = self._gauge(names.REQUESTS_WAITING)
        self.requests_active = self._gauge(names.REQUESTS_ACTIVE)
        self.hash_lookup_iterations = self._histogram(names.HASH_LOOKUP_ITERATIONS).labels()
        self.hash_lookup_initial = self._counter(names.HASH_LOOKUP_INITIAL)
        self.hash_lookup_final = self._counter(names.HASH_LOOKUP_FINAL)
        self.hash_lookup_default = self._counter(names.HASH_LOOKUP_DEFAULT)
        self.requests_total = self._counter(names.REQUESTS)
        self.request_duration = self._histogram(names.REQUEST_DURATION)
        self.time_to_first_byte = self._histogram(names.TIME_TO_FIRST_BYTE)
        self.queue_wait = self._histogram(names.QUEUE_WAIT)
        self.cold_start = self._histogram(names.COLD_START)
        self.retries = self._counter(names.RETRIES)
        self.tokens = self._counter(names.TOKENS)
        self.inter_chunk = self._histogram(names.INTER_CHUNK)
        self.usage_requests = self._counter(names.USAGE_REQUESTS)
        self.usage_tokens = self._counter(names.USAGE_TOKENS)
        self.key_requests_running = self._gauge(names.KEY_REQUESTS_RUNNING)
        self.key_requests_admitted = self._counter(names.KEY_REQUESTS_ADMITTED)
        self.key_tokens_charged = self._counter(names.KEY_TOKENS_CHARGED)
        self.reconciles = self._counter(names.RECONCILES)
        self.reconcile_duration = self._histogram(names.RECONCILE_DURATION).labels()
        self.autoscaler_scalings = self._counter(names.AUTOSCALER_SCALINGS)

    def sampled(self, spec: MetricSpec, sample: Callable[[], Iterable[Sample]]) -> None:
        """Serve the gauge `spec` with what `sample` says at each scrape of this process.

        For numbers that somebody owns already: nothing is counted twice, and what is gone leaves no label behind.
        """
        self._registry.register(_Sampled(spec, lambda: self._asked_for(spec, sample())))

    def render(self, only: Collection[str] = (), models: Collection[str] = ()) -> bytes:
        """The metrics in Prometheus' text format; with names in `only`, just these.

        With `models`, of metrics whose first label is `request_model` just the series of these.
        """
        source: Collector = self._registry
        if only:
            source = self._registry.restricted_registry(only)
        self._totals, self._models = Totals(self.memory.pages, *_starts(only, models)), models
        try:
            return generate_latest(source)
        finally:
            self._totals, self._models = None, ()

    def page(self, query: str) -> bytes:
        """What `/metrics?QUERY` serves: `name[]=NAME` and `request_model=MODEL`, repeatable, ask for less than all."""
        asked = parse_qsl(query)
        return self.render(
            [value for key, value in asked if key == "name[]"],
            [value for key, value in asked if key == names.REQUEST_MODEL],
        )

    def _counter(self, spec: MetricSpec) -> Family[Counter]:
        self._serve(spec)
        return Family(Counter, spec, self._pages.series)

    def _gauge(self, spec: MetricSpec) -> Family[Gauge]:
        self._serve(spec)
        return Family(Gauge, spec, self._pages.series)

    def _histogram(self, spec: MetricSpec) -> Family[Histogram]:
        self._serve(spec)
        return Family(Histogram, spec, self._pages.series)

    def _in_flight(self, spec: MetricSpec) -> Family[Gauge]:
        self._serve(spec)
        return Family(Gauge, spec, self._pages.in_flight)

    def _serve(self, spec: MetricSpec) -> None:
        self._registry.register(_Counted(spec, self._sum))

    def _asked_for(self, spec: MetricSpec, samples: Iterable[Sample]) -> Iterable[Sample]:
        if not self._models or not _names_models(spec):
            return samples
        return [(labels, value) for labels, value in samples if labels[0] in self._models]

    def _sum(self, spec: MetricSpec) -> Metric:
        return (self._totals or Totals(self.memory.pages)).family(spec)


def _starts(only: Collection[str], models: Collection[str]) -> Iterator[bytes]:
    """What the keys begin with that are asked for; nothing if that is all."""
    if not only and not models:
        return
    for spec in names.ALL:
        if only and not any(name.startswith(spec.name) for name in only):  # a histogram's have endings
            continue
        if models and _names_models(spec):
            yield from (key_start(spec, model) for model in models)
        else:
            yield key_start(spec)


def _names_models(spec: MetricSpec) -> bool:
    return spec.labels[:1] == (names.REQUEST_MODEL,)


class _Counted(Collector):
    """One metric of the pages."""

    def __init__(self, spec: MetricSpec, total: Callable[[MetricSpec], Metric]) -> None:
        self._spec = spec
        self._total = total

    def describe(self) -> Iterable[Metric]:
        """Tells the registry the name without looking at the pages."""
        return [Totals(()).family(self._spec)]

    def collect(self) -> Iterable[Metric]:
        return [self._total(self._spec)]


class _Sampled(Collector):
    def __init__(self, spec: MetricSpec, sample: Callable[[], Iterable[Sample]]) -> None:
        self._spec = spec
        self._sample = sample

    def describe(self) -> Iterable[Metric]:
        """Tells the registry the name without taking a sample."""
        return [self._family()]

    def collect(self) -> Iterable[Metric]:
        family = self._family()
        for labels, value in self._sample():
            family.add_metric(labels, value)
        return [family]

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(self._spec.name, self._spec.help, labels=self._spec.labels)
