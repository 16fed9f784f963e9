"""What all processes of a gateway have counted, added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.utils import floatToGoString

from .families import key_start, read_key
from .names import ALL, ENDPOINT_REQUESTS_IN_FLIGHT, MetricSpec
from .pages import Memory, Pages

_SPECS = {spec.name: spec for spec in ALL}


class Totals:
    """The sums at one moment."""

    def __init__(self, processes: Iterable[Pages], *starts: bytes) -> None:
        """With `starts` (see `key_start`) only of the series whose keys begin with one of them."""
        #: Metric -> label values -> numbers as in the cells.
        self._found: dict[str, dict[tuple[str, ...], list[float]]] = {}
        for pages in processes:
            for page in pages:
                for start in starts or (b"",):
                    for key, numbers in page.entries(start).items():
                        self._add(*read_key(key), numbers)

    def family(self, spec: MetricSpec) -> Metric:
        """The metric as it is served."""
        series = self._found.get(spec.name, {})
        if spec.kind == "histogram":
            return _histogram(spec, series)
        kind = CounterMetricFamily if spec.kind == "counter" else GaugeMetricFamily
        family: Metric = kind(spec.name, spec.help, labels=spec.labels)
        for labels, numbers in series.items():
            family.add_metric(labels, numbers[0])  # type: ignore[attr-defined]
        return family

    def _add(self, name: str, labels: tuple[str, ...], numbers: list[float]) -> None:
        series = self._found.setdefault(name, {})
        before = series.get(labels)
        series[labels] = numbers if before is None else list(map(_joining(name), before, numbers))


def _joining(name: str) -> Callable[[float, float], float]:
    spec = _SPECS.get(name)
    return max if spec is not None and spec.together == "max" else float.__add__


def _histogram(spec: MetricSpec, series: dict[tuple[str, ...], list[float]]) -> Metric:
    family = HistogramMetricFamily(spec.name, spec.help, labels=spec.labels)
    bounds = [*map(floatToGoString, spec.buckets), "+Inf"]
    for labels, (total, *counts) in series.items():
        family.add_metric(labels, list(zip(bounds, accumulate(counts), strict=True)), total)
    return family


def in_flight(memory: Memory, models: Iterable[str]) -> Mapping[str, int]:
    """Endpoint name -> requests in flight, of these Models in all processes."""
    found: Counter[str] = Counter()
    starts = [key_start(ENDPOINT_REQUESTS_IN_FLIGHT, model) for model in models]
    for pages in memory.pages:
        for start in starts:
            for key, (number,) in pages.in_flight.entries(start).items():
                found[read_key(key)[1][-1]] += int(number)
    return found


def strike_out(memory: Memory, process: int) -> None:
    """A process has died: what it had counted as running runs no more. What it has counted stays counted."""
    pages = memory.pages[process]
    pages.in_flight.strike(lambda _: True)
    pages.series.strike(lambda key: _SPECS[read_key(key)[0]].kind == "gauge")
