"""Counts PrefixHash lookups by endpoint, and forgets endpoints that are gone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kubeai.telemetry.families import Counter, Family
from kubeai.telemetry.registry import Metrics

from .strategy import Choice, Lookup


class _Counters(NamedTuple):
    initial: Counter
    final: Counter
    default: Counter


class LookupMetrics:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        #: Looking a labelled counter up costs more than counting.
        self._counters: dict[str, _Counters] = {}

    def record(self, choice: Choice, lookup: Lookup) -> None:
        self._of(lookup.initial.endpoint.name).initial.inc()
        chosen = self._of(choice.member.endpoint.name)
        if lookup.bounded:
            self._metrics.hash_lookup_iterations.observe(lookup.iterations)
            chosen.final.inc()
        else:
            chosen.default.inc()

    def forget(self, endpoints: Iterable[str]) -> None:
        """Without this, every Pod that ever was would stay in the metrics."""
        for name in endpoints:
            if self._counters.pop(name, None):
                for counter in self._parents():
                    counter.remove(name)

    def _of(self, name: str) -> _Counters:
        found = self._counters.get(name)
        if found is None:
            found = _Counters(*(counter.labels(name) for counter in self._parents()))
            self._counters[name] = found
        return found

    def _parents(self) -> tuple[Family[Counter], Family[Counter], Family[Counter]]:
        metrics = self._metrics
        return metrics.hash_lookup_initial, metrics.hash_lookup_final, metrics.hash_lookup_default
